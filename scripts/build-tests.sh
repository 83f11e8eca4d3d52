#!/usr/bin/env bash
# Builds the extension and all test programs, in the release profile, and installs the extension into its private tree. One selection of
# packages and targets, so that each dependency gets one set of features and is compiled once; `cargo test --release --workspace` finds
# everything made.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --workspace --lib --tests
scripts/cluster.sh install --profile release --no-build
