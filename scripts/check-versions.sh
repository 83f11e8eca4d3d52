#!/usr/bin/env bash
# Type-checks the extension for the versions of PostgreSQL that are not installed here (Debian 12 has 15 only), warnings denied.
# Takes the versions as arguments, default 16 17 18.
set -euo pipefail
cd "$(dirname "$0")/.."

versions=("$@")
[ $# -gt 0 ] || versions=(16 17 18)

# A folder of its own: neither the wrapper nor the missing bindings may show in other builds.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/check-versions
export CARGO_TARGET_DIR
export WRAPPED_WRAPPER=${RUSTC_WRAPPER:-}
export RUSTC_WRAPPER=$PWD/scripts/rustc-with-shipped-bindings.sh
export DOCS_RS=1

failed=()
for version in "${versions[@]}"; do
    cargo check --quiet --package pg_kafka --no-default-features --features "pg$version" || failed+=("$version")
done
[ ${#failed[@]} -eq 0 ] || {
    echo "check-versions.sh: not type-correct for PostgreSQL ${failed[*]}" >&2
    exit 1
}
