#!/usr/bin/env bash
# What `make test-kafka` runs: the protocol, client and group tests of kafka_test against Apache Kafka, so that no test asserts what
# Kafka does not do, and the tests that compare both brokers. Arguments go to cargo test. Profile and packages are those of `make test`:
# other ones would build everything again.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/apache-kafka.sh fetch
scripts/clients.sh fetch
scripts/build-tests.sh
export KAFKA_TEST_INSTALLED=yes
status=0
KAFKA_TEST_TARGET=apache cargo test --release --workspace --test protocol --test clients --test groups "$@" || status=1
cargo test --release --workspace --test tools --test differential --test groups "$@" || status=1
exit "$status"
