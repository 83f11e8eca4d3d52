#!/usr/bin/env bash
# Installs what is missing on a Debian 12, and nothing else: looks first, and calls apt only if something is not there.
#
#   scripts/setup.sh [build] [demo] [lint] [java] [clients]      (default: build)
#
# build: PostgreSQL 15 with its server headers, libclang (bindgen reads the headers with it), a C and C++ compiler and make
#        (librdkafka), kcat.   demo: the data that `make run` shows.   lint: shellcheck.   java: a JDK and Maven, for Apache Kafka.
# clients: Python's pip, Node and npm, for the clients in other languages.
# Rust and Go are not installed: rustup is the user's own, and Debian's Go is too old for its clients.
set -euo pipefail

fail() {
    echo "setup: $*" >&2
    exit 1
}

rust_minor_needed=95
postgres=/usr/lib/postgresql/15
packages=()

need_command() { # command package
    command -v "$1" >/dev/null || packages+=("$2")
}

need_file() { # file package
    [ -e "$1" ] || packages+=("$2")
}

need_build() {
    need_file "$postgres/bin/postgres" postgresql-15
    need_file "$postgres/bin/psql" postgresql-client-15
    need_file /usr/include/postgresql/15/server/postgres.h postgresql-server-dev-15
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || packages+=(libclang-dev)
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null || packages+=(libclang-dev)
    need_command cc gcc
    need_command c++ g++
    need_command make make
    need_command pkg-config pkg-config
    need_command kcat kcat
    need_command setpriv util-linux
    need_command flock util-linux
}

need_demo() {
    need_file /usr/share/unicode/Unihan_Readings.txt.bz2 unicode-data
    need_command bzcat bzip2
}

need_lint() {
    need_command shellcheck shellcheck
}

need_java() {
    need_command java openjdk-17-jre-headless
    need_command javac openjdk-17-jdk-headless
    need_command mvn maven
}

need_clients() {
    python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
    need_command node nodejs
    need_command npm npm
    command -v go >/dev/null || fail "go is missing. Install Go 1.21 or later from https://go.dev/dl and call this again."
}

check_rust() {
    command -v cargo >/dev/null && command -v rustc >/dev/null ||
        fail "cargo is missing. Install Rust 1.$rust_minor_needed or later from https://rustup.rs and call this again."
    local version minor
    version=$(rustc --version | cut -d' ' -f2)
    minor=${version#*.}
    minor=${minor%%.*}
    [ "$minor" -ge "$rust_minor_needed" ] || fail "Rust $version is too old: 1.$rust_minor_needed is needed (rustup update)."
}

# Without this, installing postgresql-15 makes a cluster named main and starts it on port 5432, which nobody asked for here.
no_main_cluster=/etc/postgresql-common/createcluster.d/pg_kafka-setup.conf

install_packages() {
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    local list="${packages[*]}"
    command -v apt-get >/dev/null || fail "missing: $list (names of Debian packages), and there is no apt-get here to install them."
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
            fail "missing: $list. Installing needs root: run 'sudo apt-get install $list', then call this again."
        sudo=(sudo)
    fi
    echo "setup: installing $list"
    local log
    log=$(mktemp)
    if [[ " $list " == *" postgresql-15 "* ]]; then
        "${sudo[@]}" mkdir -p "${no_main_cluster%/*}"
        echo 'create_main_cluster = false' | "${sudo[@]}" tee "$no_main_cluster" >/dev/null
    fi
    local status=0
    { "${sudo[@]}" apt-get update -q &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"; } \
        >"$log" 2>&1 || status=$?
    "${sudo[@]}" rm -f "$no_main_cluster"
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$log" >&2
        fail "apt-get could not install $list (the whole output: $log). This needs Debian 12 with its main archive."
    fi
    rm -f "$log"
}

for part in "${@:-build}"; do
    case $part in
        build) need_build ;;
        demo) need_demo ;;
        lint) need_lint ;;
        java) need_java ;;
        clients) need_clients ;;
        *) fail "unknown part '$part': build, demo, lint, java or clients" ;;
    esac
done
check_rust
[ "${#packages[@]}" -eq 0 ] || install_packages
