#!/usr/bin/env bash
# A real Apache Kafka on loopback: one node, KRaft, fetched as Maven artifacts.
#
#   scripts/apache-kafka.sh fetch                                 the jars, once per version
#   scripts/apache-kafka.sh classpath                             the class path, for Kafka's own tools
#   scripts/apache-kafka.sh clients VERSION                       fetch that version of kafka-clients; its class path
#   scripts/apache-kafka.sh start DIR PORT CPORT [KEY=VALUE ...]  format DIR and start; returns when the broker answers
#   scripts/apache-kafka.sh resume DIR                            start what was stopped in DIR again, with its log
#   scripts/apache-kafka.sh stop DIR                              stop it and wait until it is gone
#
# PORT is the broker's, CPORT the controller's; KEY=VALUE go into server.properties and win over what is set here.
# DIR holds server.properties, server.log, pid and the log. Jars live in $PG_KAFKA_CACHE (default ~/.cache/pg_kafka).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
poms=$here/../kafka_test/apache-kafka
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$poms/pom.xml")
cache=${PG_KAFKA_CACHE:-$HOME/.cache/pg_kafka}
libs=$cache/apache-kafka-$version/libs
heap=${APACHE_KAFKA_HEAP:-1G}

die() {
    echo "apache-kafka.sh: $*" >&2
    exit 1
}

need_java() {
    command -v java >/dev/null || die "java is missing: Apache Kafka $version needs Java 17 (Debian: apt install openjdk-17-jre-headless)"
}

# fetch_jars FOLDER POM [MAVEN OPTION ...]
# The folder appears under its name only when it is whole, so an interrupted fetch is repeated.
fetch_jars() {
    local folder=$1 pom=$2
    shift 2
    [ -d "$folder" ] && return 0
    need_java
    command -v mvn >/dev/null || die "mvn is missing: Apache Kafka is fetched as Maven artifacts (Debian: apt install maven)"
    local parent partial
    parent=$(dirname "$folder")
    mkdir -p "$parent"
    partial=$(mktemp -d "$parent/partial.XXXXXX")
    mvn -B -q -f "$pom" dependency:copy-dependencies -DoutputDirectory="$partial" -DincludeScope=runtime "$@" >&2 ||
        die "Maven could not fetch the jars of $pom $*"
    mv -T "$partial" "$folder" 2>/dev/null || rm -rf "$partial"
    [ -d "$folder" ] || die "the jars are not at $folder"
}

fetch() {
    fetch_jars "$libs" "$poms/pom.xml"
}

clients() {
    [ $# -eq 1 ] || die "clients needs VERSION"
    local folder=$cache/kafka-clients-$1/libs
    fetch_jars "$folder" "$poms/clients/pom.xml" "-Dkafka.clients.version=$1"
    echo "$folder/*"
}

# An answer to ApiVersions v0 (correlation id 1, error 0) is the sign of life; an open port alone is not.
answers() {
    local reply
    reply=$(timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1 &&
        printf '\\0\\0\\0\\12\\0\\22\\0\\0\\0\\0\\0\\1\\377\\377' >&3 && head -c 10 <&3 | od -An -v -tx1 | tr -d ' \\n'" 2>/dev/null) || return 1
    [ "${reply:8:12}" = 000000010000 ]
}

start() {
    [ $# -ge 3 ] || die "start needs DIR PORT CPORT"
    local dir=$1 port=$2 controller=$3
    shift 3
    need_java
    fetch
    ! running "$dir" || die "a broker runs in $dir already, pid $(cat "$dir/pid")"
    for p in "$port" "$controller"; do
        ! (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || die "port $p is in use"
    done
    rm -rf "${dir:?}/log"
    mkdir -p "$dir"
    cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/log
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
EOF
    printf '%s\n' "$@" >>"$dir/server.properties"
    local id
    id=$(java -cp "$libs/*" kafka.tools.StorageTool random-uuid 2>/dev/null)
    java -cp "$libs/*" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
        die "format failed: $(tail -n 3 "$dir/format.log")"
    launch "$dir" "$port"
}

resume() {
    [ $# -eq 1 ] || die "resume needs DIR"
    [ -e "$1/server.properties" ] || die "no broker was started in $1"
    ! running "$1" || die "a broker runs in $1 already, pid $(cat "$1/pid")"
    launch "$1" "$(sed -n 's|^advertised.listeners=.*:||p' "$1/server.properties")"
}

running() {
    [ -e "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null
}

launch() { # DIR PORT
    local dir=$1 port=$2
    setsid java "-Xmx$heap" "-Xms$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -cp "$libs/*" kafka.Kafka "$dir/server.properties" \
        >"$dir/server.log" 2>&1 </dev/null &
    local pid=$!
    echo "$pid" >"$dir/pid"
    local deadline=$((SECONDS + 60))
    until answers "$port"; do
        kill -0 "$pid" 2>/dev/null || die "the broker ended while starting: $(tail -n 5 "$dir/server.log")"
        if [ $SECONDS -ge $deadline ]; then
            stop "$dir"
            die "no answer on port $port within 60 s: $(tail -n 5 "$dir/server.log")"
        fi
        sleep 0.2
    done
}

stop() {
    [ $# -eq 1 ] || die "stop needs DIR"
    [ -e "$1/pid" ] || return 0
    local pid
    pid=$(cat "$1/pid")
    kill "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + 20))
    while kill -0 "$pid" 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || kill -9 "$pid" 2>/dev/null || true
        sleep 0.1
    done
    rm -f "$1/pid"
}

case ${1:-} in
    fetch) fetch ;;
    classpath) fetch && echo "$libs/*" ;;
    clients | start | resume | stop) "$@" ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
