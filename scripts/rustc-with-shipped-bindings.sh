#!/usr/bin/env bash
# RUSTC_WRAPPER of check-versions.sh: has pgrx-pg-sys use the bindings that it ships instead of making them from server headers,
# which it does under docs.rs's cfg. Other crates would turn on features of the nightly compiler under that cfg, so they do not see it.
set -euo pipefail
command=("$@")
previous=
for argument in "$@"; do
    if [ "$previous" = --crate-name ] && [ "$argument" = pgrx_pg_sys ]; then
        export RUSTC_BOOTSTRAP=1
        command+=(--cfg docsrs)
    fi
    previous=$argument
done
exec ${WRAPPED_WRAPPER:+"$WRAPPED_WRAPPER"} "${command[@]}"
