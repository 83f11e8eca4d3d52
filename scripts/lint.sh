#!/usr/bin/env bash
# What `make lint` checks: format, clippy and rustdoc without a warning, `unsafe` only under src/ffi, scripts, PostgreSQL 16 to 18.
# The release profile everywhere: what build scripts make (librdkafka, the bindings of Postgres) is then shared with the tests.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

failed=()

# A step that fails does not hide what the later ones find.
step() {
    local name=$1
    shift
    echo "lint: $name"
    "$@" || failed+=("$name")
}

# The compiler denies unsafe code in broker/ only; this finds it in all of ours, comments and strings aside.
unsafe_outside_ffi() {
    local found
    found=$(git ls-files --cached --others --exclude-standard '*.rs' | grep -v '^src/ffi/' | grep -v '^src/ffi\.rs$' |
        xargs --no-run-if-empty grep -nE '^[^/"]*\bunsafe[[:space:]]*(\{|fn|impl|extern|trait)|#\[unsafe\(' || true)
    [ -z "$found" ] || {
        echo "$found"
        echo "lint: unsafe code outside src/ffi" >&2
        return 1
    }
}

shell_scripts() {
    local scripts
    mapfile -t scripts < <(git ls-files --cached --others --exclude-standard scripts .ci |
        while read -r f; do head -c 2 "$f" | grep -q '#!' && echo "$f"; done)
    shellcheck --severity=warning "${scripts[@]}"
}

step "rustfmt" cargo fmt --all --check
step "rustfmt of fuzz" cargo fmt --manifest-path fuzz/Cargo.toml --check
step "unsafe only under src/ffi" unsafe_outside_ffi
step "shellcheck" shell_scripts
step "clippy" cargo clippy --quiet --release --workspace --all-targets --features broker/contract -- -D warnings
# Private items are documented here, so links to them lead somewhere.
step "clippy of tests that need more" cargo clippy --quiet --release --workspace --features broker/contract --test tools --test differential --test groups -- -D warnings
# A workspace of its own, whose build needs the fuzzer's flags; checking it does not.
step "clippy of fuzz" cargo clippy --quiet --release --manifest-path fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}/fuzz" -- -D warnings
step "rustdoc" env RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --quiet --release --workspace --no-deps --document-private-items
if [ -x scripts/check-versions.sh ]; then
    step "PostgreSQL 16, 17 and 18" scripts/check-versions.sh
fi
[ "${#failed[@]}" -eq 0 ] || {
    printf 'lint: failed: %s\n' "${failed[@]}" >&2
    exit 1
}
