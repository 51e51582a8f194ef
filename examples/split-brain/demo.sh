#!/bin/bash
# make demo: split brain with five and with three servers, first with a correct Raft, then with one that
# takes n/2 for a majority. The first two verdicts must be "pass", the other two "fail".
#   usage: demo.sh BUILD_FOLDER
set -u
build=${1:-build}
here=$(cd "$(dirname "$0")" && pwd)
out=$build/demo
rm -rf "$out"
mkdir -p "$out"
problems=0

title() {
    if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\n\033[1m== %s\033[0m\n\n' "$1"; else printf '\n== %s\n\n' "$1"; fi
}

act() { # NAME EXPECTED_EXIT FILE [EXTRA ARGS...]
    local name=$1 expected=$2 file=$3 status
    shift 3
    "$build/bin/sever" run "$here/$file" --out "$out/$name" "$@"
    status=$?
    [ "$status" = 130 ] && exit 130
    if [ "$status" != "$expected" ]; then
        echo "demo: $name ended with exit $status where $expected was expected" >&2
        problems=1
    fi
}

title 'Five servers, the leader cut off with one other. A correct Raft.'
act five 0 five.yaml
title 'Three servers, the leader cut off alone. A correct Raft.'
act three 0 three.yaml
title 'The same five with --bug half-quorum: two of five is taken for a majority. This must be caught.'
act five-half-quorum 1 five.yaml -- --bug half-quorum
title 'The same three with --bug half-quorum: one of three is taken for a majority. This must be caught.'
act three-half-quorum 1 three.yaml -- --bug half-quorum

if [ "$problems" = 0 ]; then
    title 'Demo: both correct clusters passed, both split brains were caught.'
else
    title 'Demo: NOT as told above.'
    read -r load _ < /proc/loadavg
    echo "On a machine that is busy with other things elections and answers may come too late: its load is"
    echo "$load now, on $(nproc) processors."
fi
echo "Reports, histories and logs: $out"
exit $problems
