#!/usr/bin/env bash
# Measurements of pg_kafka and Apache Kafka side by side on this machine. What happens meanwhile goes to standard error, the table to
# standard output, and with --write yes into its section of docs/performance.md.
#
#   scripts/bench.sh groups [--rounds N] [--scale X] [--write yes]      consumer groups, as for `load groups`
#
# Ports from BENCH_BASE_PORT (default 21900) on. BENCH_DIR (default /tmp) holds both logs: put it on the disk to be measured.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${BENCH_BASE_PORT:-21900}
load=${CARGO_TARGET_DIR:-target}/release/load
what=${1:-}
case $what in
groups) shift ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

work=$(mktemp -d "${BENCH_DIR:-/tmp}/pg_kafka-bench.XXXXXX")
chmod 755 "$work"
stop_all() {
    scripts/cluster.sh stop --dir "$work/pg" >&2 || scripts/cluster.sh stop --dir "$work/pg" --mode immediate >&2 || true
    scripts/apache-kafka.sh stop "$work/apache" >&2 || true
    rm -rf "$work"
}
trap stop_all EXIT

# The selection of scripts/build-tests.sh, so that dependencies are compiled once.
cargo build --release --workspace --lib --bin load >&2
scripts/cluster.sh install --profile release --no-build >&2
scripts/apache-kafka.sh fetch
"$load" "$what" --dir "$work" --base-port "$base" "$@"
