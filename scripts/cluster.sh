#!/usr/bin/env bash
# A private PostgreSQL cluster with pg_kafka in it: built, installed, created, started and stopped without touching the
# PostgreSQL that the machine runs. `scripts/cluster.sh help` tells how to call it.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/cluster.sh COMMAND [OPTIONS]

commands
  install         build the extension and install it into a private copy of PostgreSQL's installation tree; prints its bin directory
  install-system  build the extension and install it where pg_config says (needs the right to write there)
  start           create the cluster if it does not exist, start it, create the extension
  stop            stop the cluster
  status          say whether the cluster runs; exit code 0 if it does, 3 if not
  bin             print the directory of the private tree's programs (psql, pg_ctl, pg_basebackup, ...)
  psql            run psql on the cluster's database postgres; what follows `--` goes to psql

options
  --dir DIR         folder of the cluster (default .cluster/main of the checkout); holds data/, log and the socket
  --profile NAME    cargo profile: dev or release (default: the cluster's, for a new one release); each has its own private tree
  --no-build        use what is installed already; with install, what is built already
  --pg-port PORT    port of PostgreSQL (default 5499); it names the Unix-domain socket, TCP stays off
  --kafka-port PORT port of the broker (default 9092)
  --set NAME=VALUE  a setting of the cluster, kept for later starts; may be repeated
  --wal-dir DIR     where a new cluster has its write-ahead log, if not in its data folder
  --checksums       a new cluster has checksums of its pages
  --no-extension    start without CREATE EXTENSION
  --mode MODE       how stop stops: smart, fast (default) or immediate

environment
  PG_KAFKA_FEATURES further cargo features to build with; each set has a private tree of its own
  PG_CONFIG         the pg_config of the PostgreSQL to use (default: of version 15, else the first on PATH)

PostgreSQL refuses root: run by root, this script runs the cluster as the user postgres.
USAGE
}

fail() {
    echo "cluster.sh: $*" >&2
    exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
dir=$root/.cluster/main
profile=
build=yes
extension=yes
pg_port=
kafka_port=
wal_dir=
initdb_options=()
mode=fast
settings=()
psql_args=()

command=${1:-help}
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
    case $1 in
    --no-build) build=no ;;
    --no-extension) extension=no ;;
    --checksums) initdb_options+=(--data-checksums) ;;
    --)
        shift
        psql_args=("$@")
        break
        ;;
    --dir | --profile | --pg-port | --kafka-port | --wal-dir | --set | --mode)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --dir) dir=$(realpath -m "$2") ;;
        --profile) profile=$2 ;;
        --pg-port) pg_port=$2 ;;
        --kafka-port) kafka_port=$2 ;;
        --wal-dir) wal_dir=$(realpath -m "$2") ;;
        --set) settings+=("$2") ;;
        --mode) mode=$2 ;;
        esac
        shift
        ;;
    *) fail "unknown option $1; see scripts/cluster.sh help" ;;
    esac
    shift
done

case $command in
help | --help | -h)
    usage
    exit
    ;;
esac

find_pg_config() {
    local candidate
    for candidate in "${PG_CONFIG:-}" "${PGRX_PG_CONFIG_PATH:-}" /usr/lib/postgresql/15/bin/pg_config "$(command -v pg_config || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
    fail "no pg_config found: install postgresql-15 and postgresql-server-dev-15, or set PG_CONFIG"
}

pg_config=$(find_pg_config)
major=$("$pg_config" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
system_bin=$("$pg_config" --bindir)
[ -x "$system_bin/postgres" ] || fail "$system_bin has no postgres program: install postgresql-$major"
if [ "$(id -u)" = 0 ]; then
    owner=postgres
    id -u postgres >/dev/null 2>&1 || fail "run by root, and PostgreSQL refuses root, and there is no user postgres to switch to"
else
    owner=$(id -un)
fi

as_owner() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && exec setpriv --reuid "$owner" --regid "$(id -g "$owner")" --init-groups -- env HOME=/tmp LC_ALL=C.UTF-8 "$@")
    else
        (cd / && exec env LC_ALL=C.UTF-8 "$@")
    fi
}

enterable() {
    local folder=$1
    until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
    as_owner test -x "$folder"
}

# A checkout below a folder that the cluster's user may not enter (/root) cannot hold the cluster.
home=$root/.cluster
if ! enterable "$root"; then
    home=/var/tmp/pg_kafka-$(printf '%s' "$root" | cksum | cut -d' ' -f1)
    [ "$dir" != "$root/.cluster/main" ] || dir=$home/main
fi
# A cluster is stopped and started with the tree that it was made with, unless told otherwise.
if [ -z "$profile" ] && [ -f "$dir/profile" ]; then
    profile=$(cat "$dir/profile")
fi
profile=${profile:-release}
prefix=$home/postgres-$major-$profile${PG_KAFKA_FEATURES:+-$PG_KAFKA_FEATURES}
bin=$prefix/lib/postgresql/$major/bin
pkglib=$prefix/lib/postgresql/$major/lib
share=$prefix/share/postgresql/$major
data=$dir/data
log=$dir/log

build_library() {
    local features=()
    [ "$major" = 15 ] || features=(--no-default-features --features "pg$major")
    [ -z "${PG_KAFKA_FEATURES:-}" ] || features+=(--features "$PG_KAFKA_FEATURES")
    command -v cargo >/dev/null || fail "cargo is not on PATH: install Rust 1.95 (https://rustup.rs)"
    (cd "$root" && PGRX_PG_CONFIG_PATH=$pg_config cargo build --quiet --package pg_kafka --lib --profile "$profile" \
        ${features[@]+"${features[@]}"}) || fail "the build failed"
}

library_path() {
    local folder=$profile
    [ "$profile" != dev ] || folder=debug
    echo "$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")/$folder/libpg_kafka.so"
}

# Replaced by rename: a running server has the old file mapped.
place() {
    [ -f "$1" ] || fail "$1 is missing"
    install -m "$3" "$1" "$2.new.$$"
    mv -f "$2.new.$$" "$2"
}

place_extension() {
    local library=$1 extension_dir=$2 script
    place "$(library_path)" "$library/pg_kafka.so" 755
    place "$root/pg_kafka.control" "$extension_dir/pg_kafka.control" 644
    for script in "$root"/sql/pg_kafka--*.sql; do
        place "$script" "$extension_dir/$(basename "$script")" 644
    done
}

# PostgreSQL finds its files relative to its own program, so a copy of the programs beside links to everything else is a
# whole installation, and the one that the machine runs is left alone.
make_tree() {
    local system_lib system_share entry name
    system_lib=$("$pg_config" --pkglibdir)
    system_share=$("$pg_config" --sharedir)
    [ "$system_bin" = "/usr/lib/postgresql/$major/bin" ] && [ "$system_share" = "/usr/share/postgresql/$major" ] ||
        fail "a private tree can be made from Debian's layout only, not from $system_bin: use install-system"
    mkdir -p "$bin" "$pkglib" "$share/extension"
    chmod 755 "$prefix"
    for entry in "$system_bin"/*; do
        name=$(basename "$entry")
        cmp -s "$entry" "$bin/$name" || place "$entry" "$bin/$name" 755
    done
    find "$system_lib" -mindepth 1 -maxdepth 1 ! -name 'pg_kafka*' -exec ln -sfn -t "$pkglib" {} +
    find "$system_share" -mindepth 1 -maxdepth 1 ! -name extension -exec ln -sfn -t "$share" {} +
    find "$system_share/extension" -mindepth 1 -maxdepth 1 ! -name 'pg_kafka*' -exec ln -sfn -t "$share/extension" {} +
}

install_private() {
    [ $build = no ] || build_library
    mkdir -p "$home"
    chmod 755 "$home"
    exec 9>"$home/install.lock"
    flock 9
    make_tree
    place_extension "$pkglib" "$share/extension"
    exec 9>&-
}

check_port() {
    case $1 in '' | *[!0-9]*) fail "'$1' is not a port" ;; esac
    # After a kill -9 of the postmaster the broker may listen until its write to the disk has ended.
    local deadline=$((SECONDS + 10))
    while (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || fail "port $1 of 127.0.0.1 is in use by another program; choose another with $2"
        sleep 0.2
    done
}

setting() {
    as_owner sed -nE "s/^$1 = '(.*)'\$/\1/p" "$data/pg_kafka.conf" | tail -n 1
}

set_setting() {
    local name=$1 value=${2//\'/\'\'}
    as_owner sed -i "/^$name = /d" "$data/pg_kafka.conf"
    printf "%s = '%s'\n" "$name" "$value" | as_owner tee -a "$data/pg_kafka.conf" >/dev/null
}

create_cluster() {
    local socket=$dir
    [ -z "$wal_dir" ] || initdb_options+=(--waldir "$wal_dir")
    mkdir -p "$dir"
    chmod 700 "$dir"
    [ "$(id -u)" != 0 ] || chown "$owner:" "$dir"
    enterable "$dir" || fail "the user $owner cannot enter $dir: choose another folder with --dir"
    as_owner "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 ${initdb_options[@]+"${initdb_options[@]}"} \
        >"$dir/initdb.log" 2>&1 ||
        fail "initdb failed: $(tail -n 3 "$dir/initdb.log")"
    echo "include_if_exists 'pg_kafka.conf'" | as_owner tee -a "$data/postgresql.conf" >/dev/null
    as_owner touch "$data/pg_kafka.conf"
    # A socket's path has at most 107 bytes.
    if [ ${#dir} -gt 85 ]; then
        socket=$(as_owner mktemp -d /tmp/pg_kafka-XXXXXX)
    fi
    set_setting listen_addresses ''
    set_setting unix_socket_directories "$socket"
    set_setting shared_preload_libraries pg_kafka
    set_setting port 5499
    set_setting pg_kafka.port 9092
}

# A killed postmaster counts as running until its parent has taken note of its end.
await_reaping() {
    local pid deadline=$((SECONDS + 10))
    pid=$(as_owner head -n 1 "$data/postmaster.pid" 2>/dev/null) || return 0
    while [ $SECONDS -lt $deadline ] && grep -q ') Z ' "/proc/$pid/stat" 2>/dev/null; do
        sleep 0.1
    done
}

running() {
    [ -d "$data" ] && await_reaping && as_owner "$bin/pg_ctl" status -D "$data" >/dev/null 2>&1
}

run_psql() {
    [ -d "$data" ] || fail "there is no cluster in $dir"
    "$bin/psql" -X -h "$(setting unix_socket_directories)" -p "$(setting port)" -U postgres -d postgres "$@"
}

start_postgres() {
    local deadline=$((SECONDS + 30)) seen=0
    [ ! -f "$log" ] || seen=$(stat -c %s "$log")
    # After a kill -9 of the postmaster its children need a moment to notice; until then their shared memory is in use.
    until as_owner "$bin/pg_ctl" start -w -t 300 -D "$data" -l "$log" >"$dir/start.log" 2>&1 </dev/null; do
        if [ $SECONDS -lt $deadline ] && tail -c +$((seen + 1)) "$log" | tail -n 5 | grep -q 'shared memory block'; then
            sleep 0.2
            continue
        fi
        fail "PostgreSQL did not start: $(tail -c +$((seen + 1)) "$log" 2>/dev/null | tail -n 5)"
    done
}

start_cluster() {
    local pair
    if running; then
        echo "already running in $dir"
        return
    fi
    [ -f "$data/pg_kafka.conf" ] || create_cluster
    echo "$profile" | as_owner tee "$dir/profile" >/dev/null
    [ -z "$pg_port" ] || set_setting port "$pg_port"
    [ -z "$kafka_port" ] || set_setting pg_kafka.port "$kafka_port"
    for pair in ${settings[@]+"${settings[@]}"}; do
        case $pair in *=*) ;; *) fail "--set needs NAME=VALUE, not '$pair'" ;; esac
        set_setting "${pair%%=*}" "${pair#*=}"
    done
    check_port "$(setting pg_kafka.port)" --kafka-port
    start_postgres
    if [ $extension = yes ]; then
        run_psql -q -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION IF NOT EXISTS pg_kafka' ||
            fail "CREATE EXTENSION pg_kafka failed; the cluster runs without it"
    fi
    echo "running in $dir; broker on port $(setting pg_kafka.port); psql: scripts/cluster.sh psql --dir $dir"
}

stop_cluster() {
    if ! running; then
        echo "not running in $dir"
        return
    fi
    case $mode in smart | fast | immediate) ;; *) fail "unknown mode $mode" ;; esac
    as_owner "$bin/pg_ctl" stop -w -t 60 -m "$mode" -D "$data" >"$dir/stop.log" 2>&1 || fail "$(tail -n 2 "$dir/stop.log")"
    echo "stopped in $dir"
}

require_tree() {
    if [ $build = yes ]; then
        install_private
    elif [ ! -f "$pkglib/pg_kafka.so" ]; then
        fail "nothing is installed in $prefix: run scripts/cluster.sh install --profile $profile"
    fi
}

case $command in
install)
    install_private
    echo "$bin"
    ;;
install-system)
    build_library
    place_extension "$("$pg_config" --pkglibdir)" "$("$pg_config" --sharedir)/extension"
    ;;
start)
    require_tree
    start_cluster
    ;;
stop) stop_cluster ;;
status)
    if running; then
        echo "running in $dir"
    else
        echo "not running in $dir"
        exit 3
    fi
    ;;
bin) echo "$bin" ;;
psql) run_psql ${psql_args[@]+"${psql_args[@]}"} ;;
*) fail "unknown command $command; see scripts/cluster.sh help" ;;
esac
