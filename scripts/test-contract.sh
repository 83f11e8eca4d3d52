#!/usr/bin/env bash
# The storage contract on Postgres: builds the extension with the contract in it, starts a private cluster whose broker is down, runs the
# checks in a background worker and prints what they found. Exit code 1 if one failed.
# usage: scripts/test-contract.sh [--profile dev|release] [--pg-port PORT] [--set NAME=VALUE]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PG_KAFKA_FEATURES=contract
profile=release
pg_port=5498
settings=()
while [ $# -gt 0 ]; do
    case $1 in
    --profile) profile=$2 ;;
    --pg-port) pg_port=$2 ;;
    --set) settings+=(--set "$2") ;;
    *)
        echo "test-contract.sh: unknown option $1" >&2
        exit 2
        ;;
    esac
    shift 2
done

dir=$(mktemp -d /tmp/pg_kafka-contract-XXXXXX)
trap 'scripts/cluster.sh stop --dir "$dir" --mode immediate >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT

# The selection of scripts/build-tests.sh, so that only what the feature changes is compiled.
cargo build --quiet --profile "$profile" --workspace --lib --tests --features pg_kafka/contract
scripts/cluster.sh install --no-build --profile "$profile" >/dev/null
scripts/cluster.sh start --no-build --dir "$dir" --profile "$profile" --pg-port "$pg_port" \
    --kafka-port "$((pg_port + 1))" --set pg_kafka.enabled=off ${settings[@]+"${settings[@]}"}
psql() { scripts/cluster.sh psql --dir "$dir" -- -v ON_ERROR_STOP=1 -qAt "$@"; }
psql -c "CREATE TABLE contract_results (at timestamptz DEFAULT clock_timestamp(), name text, passed bool, message text)" \
    -c "CREATE FUNCTION run_storage_contract() RETURNS void LANGUAGE c AS 'pg_kafka', 'run_storage_contract_wrapper'" \
    -c "SELECT run_storage_contract()"
psql -F ' ' -c "SELECT CASE WHEN passed THEN 'ok    ' ELSE 'FAILED' END, name, message FROM contract_results ORDER BY at"
counts=$(psql -F ' ' -c "SELECT count(*), count(*) FILTER (WHERE NOT passed) FROM contract_results")
read -r total failed <<<"$counts"
expected=$(($(grep -cE '^    [a-z]+::[a-z_]+,$' broker/src/storage/contract.rs) + 3))
echo "$total of $expected checks ran, $failed failed"
[ "$total" = "$expected" ] && [ "$failed" = 0 ]
