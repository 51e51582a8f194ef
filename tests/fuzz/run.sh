#!/bin/bash
# Runs each fuzzer for SECONDS, two at a time, starting from the corpus in the tree. New inputs stay in
# the build folder; an input that breaks something is named with the command that repeats it.
#   usage: tests/fuzz/run.sh FOLDER SECONDS
set -u
folder=$1 seconds=$2 failed=0
cd "$(dirname "$0")/../.."
run() {
    local name=${1##*/} work="$folder/work-${1##*/}"
    mkdir -p "$work" "tests/fuzz/corpus/$name"
    "$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$work/crash-" "$work" "tests/fuzz/corpus/$name" >"$work.log" 2>&1
}
fuzzers=()
for fuzzer in "$folder"/*; do [ -f "$fuzzer" ] && [ -x "$fuzzer" ] && fuzzers+=("$fuzzer"); done
[ ${#fuzzers[@]} -gt 0 ] || { echo 'fuzz: no fuzzers were built' >&2; exit 1; }
for ((i = 0; i < ${#fuzzers[@]}; i += 2)); do
    pids=()
    for fuzzer in "${fuzzers[@]:i:2}"; do
        echo "  fuzz  ${fuzzer##*/} for $seconds s"
        run "$fuzzer" & pids+=($!)
    done
    for j in "${!pids[@]}"; do
        name=${fuzzers[i + j]##*/}
        if wait "${pids[$j]}"; then
            printf '  ok    %-14s %s runs\n' "$name" "$(sed -n 's/stat::number_of_executed_units: *//p' "$folder/work-$name.log")"
        else
            failed=1
            tail -40 "$folder/work-$name.log" | sed 's/^/    | /'
            echo "  FAIL  $name: repeat with: $folder/$name $(ls -t "$folder/work-$name"/crash-* 2>/dev/null | head -1)"
        fi
    done
done
exit $failed
