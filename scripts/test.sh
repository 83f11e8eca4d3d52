#!/usr/bin/env bash
# What `make test` runs: unit tests, end-to-end tests against pg_kafka, the storage contract on PostgreSQL. What fails does not keep the rest
# from running.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

failed=()

scripts/build-tests.sh || exit
KAFKA_TEST_INSTALLED=yes cargo test --release --workspace --no-fail-fast || failed+=("cargo test")
scripts/test-contract.sh || failed+=("storage contract on PostgreSQL")
# Rows are written in another way there.
scripts/test-contract.sh --set wal_level=logical || failed+=("storage contract on PostgreSQL with wal_level=logical")
[ "${#failed[@]}" -eq 0 ] || {
    printf 'test: failed: %s\n' "${failed[@]}" >&2
    exit 1
}
