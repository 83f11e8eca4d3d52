#!/usr/bin/env bash
# Measurements of pg_kafka and Apache Kafka side by side on this machine. What happens meanwhile goes to standard error, tables to standard
# output.
#
#   scripts/bench.sh compare [--rounds N] [--scale X] [--only PART]     what `make bench` runs, with --write yes: produce, fetch, latency, memory
#   scripts/bench.sh groups [--rounds N] [--scale X]                    consumer groups
#   scripts/bench.sh more [--rounds N] [--scale X] [--only PART]        Kafka's own load programs, idle connections, loads that are unusual in
#                                                                       one respect, Postgres beside pg_kafka
#   scripts/bench.sh all [--rounds N] [--scale X]                       those three
#   scripts/bench.sh quick                                              a little of both, to see that all of it runs; no figure means anything
#
# --write yes puts a table into its section of docs/performance.md; with --only, the rows that were measured in place of the same rows there.
# `load help` knows all flags. Ports from BENCH_BASE_PORT (default 21900) on. BENCH_DIR (default /tmp) holds both logs: put it on the disk to
# be measured.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${BENCH_BASE_PORT:-21900}
load=${CARGO_TARGET_DIR:-target}/release/load
work=

usage() {
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

stop_all() {
    [ -n "$work" ] || return 0
    scripts/cluster.sh stop --dir "$work/pg" >&2 || scripts/cluster.sh stop --dir "$work/pg" --mode immediate >&2 || true
    scripts/apache-kafka.sh stop "$work/apache" >&2 || true
    rm -rf "$work"
    work=
}
trap stop_all EXIT

# The selection of scripts/build-tests.sh, so that dependencies are compiled once.
build() {
    cargo build --release --workspace --lib --bin load >&2
    scripts/cluster.sh install --profile release --no-build >&2
    scripts/apache-kafka.sh fetch
}

measure() { # COMMAND [FLAG ...]: the program starts both brokers in the folder, and this stops them
    work=$(mktemp -d "${BENCH_DIR:-/tmp}/pg_kafka-bench.XXXXXX")
    chmod 755 "$work"
    "$load" "$1" --dir "$work" --base-port "$base" "${@:2}"
    stop_all
}

case ${1:-} in
compare | groups | more)
    build
    measure "$@"
    ;;
all)
    build
    for part in compare more groups; do measure "$part" "${@:2}"; done
    ;;
quick)
    [ $# -eq 1 ] || usage
    build
    measure quick --rounds 1 --warm-up no --scale 0.02
    measure groups --rounds 1 --warm-up no --scale 0.05
    ;;
*) usage ;;
esac
