#!/usr/bin/env bash
# A pg_kafka under all kinds of clients and faults for SOAK_SECONDS (default 600): nothing acknowledged may be lost, and memory,
# descriptors and threads must not grow between faults. kafka_test/src/bin/soak.rs says what it does.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build-tests.sh
cargo build --quiet --release --workspace --lib --tests --bins
KAFKA_TEST_INSTALLED=yes exec "${CARGO_TARGET_DIR:-target}/release/soak"
