#!/usr/bin/env bash
# Seven days by a clock of the server's own, with SEVEN_DAYS_MIB (default 20480) written to one topic and a quarter of that to another: the disk
# stays within what retention allows. kafka_test/tests/seven_days.rs says what is checked; `make test` runs it with less.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build-tests.sh
export KAFKA_TEST_INSTALLED=yes SEVEN_DAYS_MIB=${SEVEN_DAYS_MIB:-20480}
exec cargo test --quiet --release --workspace --test seven_days -- --nocapture
