#!/bin/bash
# Runs test programs, at most JOBS at a time, each under a time limit; shows the output of those that
# fail; ends with "N passed, N failed". What is counted are the tests of their cmocka groups.
#   usage: tests/run.sh [-j JOBS] [-t SECONDS] [-l LABEL] PROGRAM...
set -u
jobs=1 limit=300 label=tests
while getopts j:t:l: option; do
    case $option in
    j) jobs=$OPTARG ;;
    t) limit=$OPTARG ;;
    l) label=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "$label: no test programs" >&2; exit 1; }

# Root runs some tests as an ordinary user, too, who must be able to reach what was built. Where a
# folder above keeps others out, as /root does, the tree is shown at /mnt, to these tests alone.
tree=$PWD
if [ "$(id -u)" = 0 ] && [ "$tree" != /mnt ] &&
    ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$tree/tests/run.sh" &&
    unshare --mount mount --bind "$tree" /mnt 2>/dev/null; then
    programs=${SEVER_BIN_DIR-$tree/build/bin}
    export SEVER_SOURCE_DIR=/mnt SEVER_BIN_DIR="${programs/#"$tree"//mnt}"
    # shellcheck disable=SC2016
    exec unshare --mount sh -c 'mount --bind "$0" /mnt && cd /mnt && exec tests/run.sh "$@"' \
        "$tree" -j "$jobs" -t "$limit" -l "$label" "$@"
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT TERM

run_one() { # PROGRAM INDEX
    local begin=${EPOCHREALTIME/./} status
    timeout -k 10 "$limit" ${TEST_WRAPPER:-} "$1" >"$logs/$2.log" 2>&1 </dev/null
    status=$?
    echo "$status $((${EPOCHREALTIME/./} - begin))" >"$logs/$2.status"
}

tests_of() { # PATTERN LOG: in all groups of a program
    sed -n "s/^$1\$/\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'
}

finish() { # PROGRAM INDEX
    local status us passed failed
    read -r status us <"$logs/$2.status"
    passed=$(tests_of '\[  PASSED  \] \([0-9]*\) test(s)\.' "$logs/$2.log")
    failed=$(tests_of '\[  FAILED  \] \([0-9]*\) test(s), listed below:' "$logs/$2.log")
    total_passed=$((total_passed + passed))
    if [ "$status" = 0 ] && [ "$passed" -gt 0 ]; then
        printf '  ok    %-58s %3d tests %7.2f s\n' "${1#build/}" "$passed" "$((us / 10000))e-2"
        return
    fi
    [ "$status" = 124 ] && echo "timed out after $limit s" >>"$logs/$2.log"
    [ "$failed" -gt 0 ] || failed=1
    total_failed=$((total_failed + failed))
    printf '  FAIL  %s (exit %s); its output:\n' "${1#build/}" "$status"
    sed 's/^/    | /' "$logs/$2.log" | tail -120
    printf '  run it again: %s\n' "$1"
}

total_passed=0 total_failed=0 next=0 running=0
programs=("$@")
while [ "$next" -lt "${#programs[@]}" ] || [ "$running" -gt 0 ]; do
    while [ "$next" -lt "${#programs[@]}" ] && [ "$running" -lt "$jobs" ]; do
        run_one "${programs[$next]}" "$next" &
        index_of[$!]=$next
        next=$((next + 1)) running=$((running + 1))
    done
    wait -n -p pid # whichever ends first: none waits for a place behind a long one
    finish "${programs[${index_of[$pid]}]}" "${index_of[$pid]}"
    running=$((running - 1))
done
printf '%s: %d passed, %d failed\n' "$label" "$total_passed" "$total_failed"
[ "$total_failed" -eq 0 ]
