#!/bin/bash
# make soak: three.yaml with RUNS seeds; every verdict must be "pass".  usage: soak.sh BUILD_FOLDER RUNS
set -u
build=${1:-build} runs=${2:-100} agreed=0
here=$(cd "$(dirname "$0")" && pwd)
out=$build/soak
rm -rf "$out"
mkdir -p "$out"
begin=$SECONDS
trap 'exit 130' INT TERM
for ((seed = 1; seed <= runs; seed++)); do
    "$build/bin/sever" run "$here/three.yaml" --seed "$seed" --out "$out/$seed" --quiet >"$out/$seed.txt" 2>&1
    status=$?
    if [ "$status" = 0 ]; then
        agreed=$((agreed + 1))
        rm -rf "${out:?}/$seed" "$out/$seed.txt"
    else
        echo "seed $seed: exit $status, see $out/$seed.txt"
    fi
    [ $((seed % 10)) = 0 ] && echo "  $seed of $runs, $agreed passed, $((SECONDS - begin)) s"
done
echo "soak: $agreed of $runs runs passed in $((SECONDS - begin)) s"
[ "$agreed" = "$runs" ]
