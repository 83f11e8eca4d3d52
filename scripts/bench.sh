#!/usr/bin/env bash
# What `make bench` runs: pg_kafka and Apache Kafka side by side on this machine, as a report in Markdown on standard output; what happens
# meanwhile goes to standard error.
#
#   scripts/bench.sh [--rounds N] [--scale X] [--only PART]     as for `load compare`; scale 0.1 is a tenth of the records
#
# Ports from BENCH_BASE_PORT (default 21900) on. BENCH_DIR (default /tmp) holds both logs: put it on the disk to be measured.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${BENCH_BASE_PORT:-21900}
work=$(mktemp -d "${BENCH_DIR:-/tmp}/pg_kafka-bench.XXXXXX")
chmod 755 "$work"
load=${CARGO_TARGET_DIR:-target}/release/load

stop_all() {
    scripts/cluster.sh stop --dir "$work/pg" >&2 || true
    scripts/apache-kafka.sh stop "$work/apache" >&2 || true
    rm -rf "$work"
}
trap stop_all EXIT

settings() { # settings of Postgres that its own defaults would make unfair beside a broker with 1 GB of heap
    printf -- '--set %s ' shared_buffers=512MB max_wal_size=4GB
}

cargo build --release -p benches >&2
scripts/apache-kafka.sh start "$work/apache" $((base)) $((base + 1)) >&2
# shellcheck disable=SC2046
scripts/cluster.sh start --dir "$work/pg" --pg-port $((base + 2)) --kafka-port $((base + 3)) $(settings) >&2
dsn="$(scripts/cluster.sh psql --dir "$work/pg" -- -At -c "SELECT format('host=%s port=%s user=postgres dbname=postgres',
    current_setting('unix_socket_directories'), current_setting('port'))")"
apache_pid=$(cat "$work/apache/pid")
postmaster_pid=$(head -n 1 "$work/pg/data/postmaster.pid")
deadline=$((SECONDS + 30))
until kcat -b localhost:$((base + 3)) -L -m 2 >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || {
        echo "bench: pg_kafka does not answer: $(tail -n 5 "$work/pg/log")" >&2
        exit 1
    }
done

echo "$(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD), $(nproc) CPUs ($(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)),"
echo "logs on $(stat -f -c %T "$work"), load average at the start $(cut -d' ' -f1 /proc/loadavg). Clients and both brokers share the CPUs."
echo
echo "One record of 100 B at a time on one connection, beside a bare INSERT on the same server:"
echo
"$load" latency --broker localhost:$((base + 3)) --postgres "$dsn" | sed 's/^/    /'
echo
echo "Disk:"
echo
"$load" storage --broker localhost:$((base + 3)) --postgres "$dsn" | sed 's/^/    /'
echo
echo "Side by side (medians of the rounds; the ratio is the median of each round's ratio, pg_kafka to Apache Kafka):"
echo
"$load" compare --ours localhost:$((base + 3)) --ours-pid "$postmaster_pid" \
    --theirs localhost:$((base)) --theirs-pid "$apache_pid" "$@"
