#!/usr/bin/env bash
# `make run` and `make stop`: a private cluster in .cluster/ with the extension of this checkout in it, and the main job shown on real
# data: produced with kcat, consumed with kcat, compared, and queried in SQL.
#
#   scripts/run.sh [start | stop]      KAFKA_PORT (default 9092) and PG_PORT (default 15432) from the environment
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

kafka_port=${KAFKA_PORT:-9092}
pg_port=${PG_PORT:-15432}
broker=localhost:$kafka_port
topic=unihan
source=/usr/share/unicode/Unihan_Readings.txt.bz2
# What the running server was started with; a difference means that it is started again.
started_with=.cluster/started-with

fail() {
    echo "make run: $*" >&2
    exit 1
}

say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

cluster() {
    scripts/cluster.sh "$@"
}

# Before the build, which takes minutes the first time: nobody should wait for it to learn this.
check_port() {
    case $kafka_port in '' | *[!0-9]*) fail "KAFKA_PORT=$kafka_port is not a port" ;; esac
    if grep -q " kafka $kafka_port " "$started_with" 2>/dev/null && cluster status >/dev/null; then
        return
    fi
    if (exec 3<>"/dev/tcp/127.0.0.1/$kafka_port") 2>/dev/null; then
        fail "port $kafka_port is in use by another program. Take another one: make run KAFKA_PORT=19092"
    fi
}

start_server() {
    local installed want
    say "Build and install (release; some minutes the first time)"
    cargo build --release --package pg_kafka --lib
    installed=$(cluster install)
    want="$(cksum "${installed%/bin}/lib/pg_kafka.so") kafka $kafka_port pg $pg_port"
    if cluster status >/dev/null; then
        if [ "$(cat "$started_with" 2>/dev/null)" = "$want" ]; then
            echo "the server runs with this build already"
            return
        fi
        cluster stop
    fi
    say "Start the private cluster and create the extension"
    cluster start --no-build --pg-port "$pg_port" --kafka-port "$kafka_port"
    mkdir -p .cluster
    echo "$want" >"$started_with"
}

wait_for_broker() {
    local deadline=$((SECONDS + 30))
    until kcat -b "$broker" -L -m 2 >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "the broker does not answer on $broker; the server's log is beside the cluster: scripts/cluster.sh help"
    done
}

sql() {
    cluster psql -- -q -v ON_ERROR_STOP=1 "$@"
}

# Sorted by key only and stably: partitions may come in any order, the records of one key may not.
digest() {
    LC_ALL=C sort -s -t "$(printf '\t')" -k 1,1 | sha256sum | cut -d' ' -f1
}

show() {
    local work lines sent received
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    bzcat "$source" | grep -v -e '^#' -e '^$' >"$work/sent"
    lines=$(wc -l <"$work/sent")
    [ "$lines" -ge 100000 ] || fail "$source has only $lines lines"

    say "Topic $topic with 3 partitions, made anew"
    sql -c 'SET client_min_messages = warning' \
        -c "SELECT kafka.drop_topic(name) FROM kafka.topics WHERE name = '$topic'" \
        -c "SELECT kafka.create_topic('$topic', 3)" >/dev/null

    say "Produce $lines records with kcat: the readings of Chinese characters (Unicode Unihan), keyed by character"
    time kcat -P -b "$broker" -t "$topic" -K "$(printf '\t')" -z lz4 -X acks=all -X partitioner=murmur2_random -l "$work/sent"

    say "Consume them with kcat"
    time kcat -C -b "$broker" -t "$topic" -o beginning -e -q -f '%k\t%s\n' >"$work/received"
    sent=$(digest <"$work/sent")
    received=$(digest <"$work/received")
    echo "sent      $lines records, sha256 $sent"
    echo "received  $(wc -l <"$work/received") records, sha256 $received"
    [ "$sent" = "$received" ] || fail "what came back is not what was sent"
    echo "equal, in order for each key"

    say "The same records in SQL"
    sql -c "SELECT partition, count(*), min(\"offset\"), max(\"offset\"), count(DISTINCT key) AS characters
            FROM kafka.messages WHERE topic = '$topic' GROUP BY partition ORDER BY partition" \
        -c "SELECT partition, \"offset\", \"timestamp\", convert_from(key, 'UTF8') AS key, convert_from(value, 'UTF8') AS value
            FROM kafka.messages WHERE topic = '$topic' ORDER BY \"timestamp\" DESC, \"offset\" DESC LIMIT 5"
}

connect() {
    local socket
    socket=$(sql -At -c 'SHOW unix_socket_directories')
    say "The broker runs. In another terminal:"
    cat <<TEXT
  kcat -b $broker -L                                         what topics there are
  date | kcat -P -b $broker -t hello                         produce (the topic is made by this)
  kcat -C -b $broker -t hello -o beginning -e                consume
  psql -h $socket -p $pg_port -U postgres postgres
       SELECT * FROM kafka.topics;
       SELECT * FROM kafka.messages WHERE topic = 'hello';
  make stop                                                  stop it
TEXT
}

case ${1:-start} in
start)
    scripts/setup.sh build demo
    check_port
    start_server
    wait_for_broker
    show
    connect
    ;;
stop)
    if [ -x /usr/lib/postgresql/15/bin/postgres ]; then
        cluster stop
    else
        echo "nothing runs: PostgreSQL is not installed"
    fi
    ;;
*) fail "unknown command '$1': start or stop" ;;
esac
