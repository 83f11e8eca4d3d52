#!/usr/bin/env bash
# Clients in other languages, in the versions that kafka_test/clients pins, run as they come out of the box.
#
#   scripts/clients.sh fetch                    what all of them need, once per version
#   scripts/clients.sh CLIENT ARGUMENT ...      runs one: kafka-python, aiokafka, kafkajs or franz-go
#
# ARGUMENTs: HOST:PORT TOPIC GROUP COUNT. What they need lives in $PG_KAFKA_CACHE (default ~/.cache/pg_kafka), under a name that
# changes with the files that pin it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=$here/../kafka_test/clients
cache=${PG_KAFKA_CACHE:-$HOME/.cache/pg_kafka}

die() {
    echo "clients.sh: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || die "$1 is missing (Debian: apt install $2)"
}

# place NAME FILE ...: the folder of what these files pin.
place() {
    local name=$1
    shift
    echo "$cache/client-$name-$(cat "$@" | sha256sum | cut -c 1-12)"
}

# Each appears under its name only when it is whole, so an interrupted fetch is repeated.
python() {
    local folder partial
    folder=$(place python "$sources/python/requirements.txt")
    if [ ! -d "$folder" ]; then
        need python3 "python3-pip"
        mkdir -p "$cache"
        partial=$(mktemp -d "$cache/partial.XXXXXX")
        python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --target "$partial" -r "$sources/python/requirements.txt" >&2 ||
            die "pip could not fetch the Python clients"
        mv -T "$partial" "$folder" 2>/dev/null || rm -rf "$partial"
    fi
    echo "$folder"
}

node_modules() {
    local folder partial
    folder=$(place node "$sources/node/package-lock.json")
    if [ ! -d "$folder" ]; then
        need npm "npm"
        mkdir -p "$cache"
        partial=$(mktemp -d "$cache/partial.XXXXXX")
        cp "$sources/node/package.json" "$sources/node/package-lock.json" "$partial"
        (cd "$partial" && npm ci --silent --no-audit --no-fund >&2) || die "npm could not fetch kafkajs"
        mv -T "$partial" "$folder" 2>/dev/null || rm -rf "$partial"
    fi
    echo "$folder/node_modules"
}

go_client() {
    local folder partial
    folder=$(place go "$sources"/go/*)
    if [ ! -d "$folder" ]; then
        command -v go >/dev/null || die "go is missing: Go 1.21 or later from https://go.dev/dl"
        mkdir -p "$cache"
        partial=$(mktemp -d "$cache/partial.XXXXXX")
        (cd "$sources/go" && go build -mod=readonly -o "$partial/client" .) >&2 || die "go could not build the client of franz-go"
        mv -T "$partial" "$folder" 2>/dev/null || rm -rf "$partial"
    fi
    echo "$folder/client"
}

client=${1:-}
[ $# -gt 0 ] && shift
# The assignments stand alone: a failure in one ends the script.
case $client in
    fetch)
        python >/dev/null
        node_modules >/dev/null
        go_client >/dev/null
        ;;
    kafka-python | aiokafka)
        modules=$(python)
        PYTHONPATH=$modules exec python3 "$sources/python/${client/-/_}_client.py" "$@"
        ;;
    kafkajs)
        modules=$(node_modules)
        KAFKAJS_NO_PARTITIONER_WARNING=1 NODE_PATH=$modules exec node "$sources/node/client.js" "$@"
        ;;
    franz-go)
        program=$(go_client)
        exec "$program" "$@"
        ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
