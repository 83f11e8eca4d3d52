#!/usr/bin/env bash
# Fuzzes everything that reads bytes from the network, target after target, with coverage feedback (libFuzzer through cargo-fuzz):
# connections, the body of each API of the table, record batches, each codec. Fails on a crash, a hang or memory without bound;
# prints executions and coverage of each target.
#
#   FUZZ_SECONDS=1200 scripts/fuzz.sh [TARGET ...]      (default 20 seconds for each target; the time is for all of them together)
#
# Targets are frame, batch, request:NAME for an API and codec:NAME. Seeds are in fuzz/seeds; what is found on the way is kept in
# fuzz/corpus, inputs that fail in fuzz/artifacts. Rust needs no nightly: without sanitizers the flags of stable suffice.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/fuzz"

cargo_fuzz_version=0.13.1
cache=${PG_KAFKA_CACHE:-$HOME/.cache/pg_kafka}
tools=$cache/cargo-fuzz-$cargo_fuzz_version
memory_mb=1024
allocation_mb=600
hang_seconds=20

if [ ! -x "$tools/bin/cargo-fuzz" ]; then
    echo "fuzz: installing cargo-fuzz $cargo_fuzz_version into $tools"
    cargo install --quiet --locked --root "$tools" --version "$cargo_fuzz_version" cargo-fuzz
fi
export RUSTC_BOOTSTRAP=1
unset CARGO_TARGET_DIR
"$tools/bin/cargo-fuzz" build --release --sanitizer none --fuzz-dir "$root/fuzz"
host=$(rustc -vV | sed -n 's/^host: //p')
bin=$root/fuzz/target/$host/release

targets=("$@")
if [ $# -eq 0 ]; then
    targets=(frame batch)
    mapfile -t -O "${#targets[@]}" targets < <(FUZZ_LIST=1 "$bin/request" 2>/dev/null | sed 's/^/request:/')
    mapfile -t -O "${#targets[@]}" targets < <(FUZZ_LIST=1 "$bin/codec" 2>/dev/null | sed 's/^/codec:/')
fi
jobs=$(nproc)
total=${FUZZ_SECONDS:-$((20 * ${#targets[@]} / jobs))}
each=$((total * jobs / ${#targets[@]}))
[ "$each" -ge 1 ] || each=1
logs=$root/fuzz/target/logs
mkdir -p "$logs" "$root/fuzz/artifacts"
echo "fuzz: ${#targets[@]} targets, $each s each, $jobs at a time"

run_target() {
    local target=$1 program=${1%%:*} name=${1//:/-} folders
    mkdir -p "$root/fuzz/corpus/$name"
    folders=("$root/fuzz/corpus/$name")
    [ ! -d "$root/fuzz/seeds/$name" ] || folders+=("$root/fuzz/seeds/$name")
    FUZZ_API=${target#request:} FUZZ_CODEC=${target#codec:} "$bin/$program" "${folders[@]}" \
        -max_total_time="$each" -timeout="$hang_seconds" -rss_limit_mb="$memory_mb" -malloc_limit_mb="$allocation_mb" \
        -max_len=65536 -len_control=10 -print_final_stats=1 -artifact_prefix="$root/fuzz/artifacts/$name-" >"$logs/$name" 2>&1
}

failed=()
collect() {
    local pid=$1 target=$2 name=${2//:/-} executions coverage
    if ! wait "$pid"; then
        failed+=("$target")
        echo "fuzz: $target FAILED:" >&2
        grep -aE 'panicked|ERROR: libFuzzer|Test unit written|^[^#].*: ' "$logs/$name" | head -n 20 >&2 || tail -n 20 "$logs/$name" >&2
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$name")
    coverage=$(grep -aoE 'cov: [0-9]+' "$logs/$name" | tail -n 1 | cut -d' ' -f2)
    printf '%-30s %12s %10s\n' "$target" "${executions:--}" "${coverage:--}"
}

printf '%-30s %12s %10s\n' target executions coverage
running=()
for target in "${targets[@]}"; do
    if [ "${#running[@]}" -ge "$jobs" ]; then
        collect "${running[0]%%=*}" "${running[0]#*=}"
        running=("${running[@]:1}")
    fi
    run_target "$target" &
    running+=("$!=$target")
done
for entry in ${running[@]+"${running[@]}"}; do
    collect "${entry%%=*}" "${entry#*=}"
done
[ "${#failed[@]}" -eq 0 ] || {
    echo "fuzz: failed: ${failed[*]}; the inputs are in fuzz/artifacts" >&2
    exit 1
}
