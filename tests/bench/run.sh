#!/bin/bash
# make bench: severd beside its peers on this machine. Each section measures every target once a
# round, in rounds that start one target later each time, and the table has the median over rounds.
# Progress goes to standard error, the table to standard output.
#   usage: tests/bench/run.sh [--json] BUILD_FOLDER
# Environment:
#   BENCH_ROUNDS=3 BENCH_SECONDS=2       how often, and for how long each time
#   BENCH_ONLY=throughput,rtt,...        sections: throughput streams rtt connections datagrams
#                                        delay split memory
#                                        labs, or of it: lab-throughput lab-rtt lab-packets lab-delay
#                                        lab-loss lab-rate lab-64
#   BENCH_WORKERS=N                      threads of severd and HAProxy, processes of nginx [the cores]
#   BENCH_SPREAD=0                       severd's TCP routes on one worker each, not spread like the peers'
#   BENCH_READ=1                         routes' streams end at a reader, not at one that has the kernel
#                                        throw the bytes away (labs are measured with both)
#   BENCH_SEED=N                         severd's, which decides what is lost [another one each time]
#   BENCH_JSON=FILE                      everything measured, as JSON (--json: on standard output)
#   TOXIPROXY_SERVER=PROGRAM             measures Toxiproxy too
set -u
here=$(cd "$(dirname "$0")" && pwd)
json=${BENCH_JSON:-}
[ "${1:-}" != --json ] || { json=/dev/fd/3; shift; }
build=${1:-build}
rounds=${BENCH_ROUNDS:-3} seconds=${BENCH_SECONDS:-2}
workers=${BENCH_WORKERS:-$(nproc)} seed=${BENCH_SEED:-$RANDOM}
sections=(throughput streams rtt connections datagrams delay split memory)
peers=(direct severd haproxy haproxy-1m nginx socat toxiproxy)
faulty=('severd 1 ms' 'severd 20 ms' 'severd 100 ms' 'severd 1 s' 'severd rate 1 Gbit/s' 'severd slicer')

work=$(mktemp -d)
results=$work/results.tsv
touch "$results"
exec 3>&1
[ "$json" != /dev/fd/3 ] || exec 1>/dev/null
# shellcheck source=tests/bench/peers.sh
. "$here/peers.sh"
# shellcheck source=tests/bench/labs.sh
. "$here/labs.sh"
generator=
clean_up() {
    local peer
    [ -z "$generator" ] || kill "$generator" 2>/dev/null
    for peer in "${!pid[@]}"; do stop "$peer"; done
    rm -rf "$work"
}
read -r load </proc/loadavg
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

record() { # SECTION TARGET METRIC VALUE
    printf '%s\t%s\t%s\t%s\n' "$@" >>"$results"
}

measure() { # SECTION TARGET GENERATOR ARGUMENT...
    local section=$1 target=$2 metric value
    shift 2
    printf 'bench: %-11s round %d  %s\n' "$section" "$round" "$target" >&2
    "$build/bench/$1" -l "$sink" "${@:2}" >"$work/measured" 2>"$work/failure" &
    generator=$!
    if wait "$generator"; then
        while read -r metric value; do record "$section" "$target" "$metric" "$value"; done <"$work/measured"
    else
        record "$section" "$target" failed 1
        sed 's/^/    | /' "$work/failure" >&2
    fi
    generator=
}

of_peer() { # TARGET: -p PID, for what is not direct
    local peer=${1%% *}
    [ -z "${pid[$peer]:-}" ] || echo "-p ${pid[$peer]}"
}

measure_throughput() {
    local warmup_ms=$((200 + ${delay_ns[$1]:-0} * 2 / 1000000))
    # shellcheck disable=SC2046
    measure throughput "$1" throughput ${BENCH_READ:+-r} -c "${port[$1]}" -s "${seconds}s" -w "${warmup_ms}ms" $(of_peer "$1")
}
measure_streams() {
    # shellcheck disable=SC2046
    measure streams "$1" throughput -n 8 ${BENCH_READ:+-r} -c "${port[$1]}" -s "${seconds}s" $(of_peer "$1")
}
measure_rtt() {
    # shellcheck disable=SC2046
    measure rtt "$1" roundtrip -c "${port[$1]}" -s "${seconds}s" $(of_peer "$1")
}
measure_connections() {
    # shellcheck disable=SC2046
    measure connections "$1" connections -c "${port[$1]}" -s "${seconds}s" $(of_peer "$1")
}
measure_memory() { # of a fresh process, and last: to end so many takes some of them long; socat's connections are processes: fewer will do
    local count=4000
    [ "$1" != socat ] || count=200
    stop "$1"
    "peer_$1" || return
    # shellcheck disable=SC2046
    measure memory "$1" idle -n "$count" -c "${port[$1]}" $(of_peer "$1")
}
measure_datagrams() {
    # shellcheck disable=SC2046
    measure datagrams "$1" datagrams -c "${udp[$1]}" -s "${seconds}s" $(of_peer "$1")
}
measure_sleep() { measure "$1" 'bare sleep' sleep -s "${seconds}s"; } # SECTION
measure_delay() {
    [ "$1" != 'bare sleep' ] || { measure_sleep delay; return; }
    measure delay "$1" delay -c "${port[$1]}" -s "${seconds}s" -d "${delay_ns[$1]:-0}ns"
}
measure_split() { # severd without routes; what it says of itself is in its log
    new_port control
    stop severd
    start severd "$build/bin/severd" --die-with-parent --listen "127.0.0.1:$control" --log-level debug \
        --workers "$workers" --run-dir "$work/severd"
    await_listening severd "$control" || return
    measure split "$1" split -c "$control" -s "${seconds}s"
    sed -n 's/.* by bench in force: prepared in \([0-9]*\) us, published in \([0-9]*\) us/\1 \2/p' "$work/severd.log" |
        awk 'NR > 1 { print $1 | ("sort -n >" prepared); print $2 | ("sort -n >" published) }' \
            prepared="$work/prepared" published="$work/published"
    record_quantiles "$1" prepared
    record_quantiles "$1" published
}

record_quantiles() { # TARGET NAME: of the sorted numbers in the file of that name
    local p50 p99
    read -r p50 p99 < <(awk '{ v[NR] = $1 } END { if (NR) print v[int((NR * 50 + 99) / 100)], v[int((NR * 99 + 99) / 100)] }' \
        "$work/$2")
    [ -n "${p50:-}" ] || return
    record split "$1" "${2}_p50_us" "$p50"
    record split "$1" "${2}_p99_us" "$p99"
}

targets_of() { # SECTION: one a line, of those that have a port
    local target list=("${peers[@]}")
    case $1 in
    lab-*) mapfile -t list < <(lab_targets_of "$1") ;;
    throughput) list=(direct severd "${faulty[@]}" haproxy haproxy-1m nginx socat toxiproxy 'toxiproxy 1 ms' 'toxiproxy 20 ms' 'toxiproxy 100 ms') ;;
    memory) list=(severd haproxy nginx socat toxiproxy) ;;
    datagrams) list=(direct severd nginx) ;;
    rtt | connections) list=(direct severd haproxy nginx socat toxiproxy) ;;
    delay) list=(direct 'severd 1 ms' 'severd 5 ms' 'severd 20 ms' 'severd 200 ms' 'bare sleep'
        'toxiproxy 1 ms' 'toxiproxy 5 ms' 'toxiproxy 20 ms' 'toxiproxy 200 ms') ;;
    split) list=(severd) ;;
    esac
    for target in "${list[@]}"; do
        [ -z "${port[$target]:-}" ] || [ -n "${refused[$target]:-}" ] || echo "$target"
    done
}

run_section() { # SECTION
    local list i count=$rounds
    mapfile -t list < <(targets_of "$1")
    [ "$1" != memory ] || count=1 # it does not vary
    for ((round = 1; round <= count; round++)); do
        for ((i = 0; i < ${#list[@]}; i++)); do
            "measure_$1" "${list[(i + round - 1) % ${#list[@]}]}"
        done
    done
}

is_wanted() { # SECTION...: any of them
    local section
    for section in "$@"; do
        [[ -n $only && ,$only, != *,$section,* ]] || return 0
    done
    return 1
}

start_peers() { # PEER...
    local peer
    for peer in "$@"; do
        "peer_$peer" || { stop "$peer"; unset "port[$peer]" "udp[$peer]"; record note "$peer" failed 1; }
    done
}

only=,${BENCH_ONLY:-},
only=${only//,labs,/,$(IFS=,; echo "${lab_sections[*]}"),}
only=${only#,} only=${only%,}
for section in ${only//,/ }; do
    [[ " ${sections[*]} ${lab_sections[*]} " == *" $section "* ]] || {
        echo "bench: BENCH_ONLY: '$section' is none of: ${sections[*]} labs ${lab_sections[*]}" >&2
        exit 2
    }
done
new_port sink
port['bare sleep']=$sink # it has none, and is measured
! is_wanted "${sections[@]}" || start_peers "${peers[@]}"
! is_wanted "${lab_sections[@]}" || start_peers "${lab_peers[@]}"
for peer in "${!absent[@]}"; do record note "$peer" absent 1; done
for target in "${!refused[@]}"; do record note "$target" refused 1; done
for target in "${!asked[@]}"; do record asked "$target" asked "${asked[$target]}"; done
for section in "${sections[@]}" "${lab_sections[@]}"; do
    ! is_wanted "$section" || run_section "$section"
done
machine="$(uname -sr), $(nproc) cores, $(cat /proc/sys/net/ipv4/tcp_congestion_control), load before ${load%% *}"
awk -f "$here/report.awk" -f "$here/labs.awk" -v machine="$machine" -v workers="$workers" -v rounds="$rounds" -v seconds="$seconds" \
    -v seed="$seed" -v spread="$([ "${BENCH_SPREAD:-1}" = 0 ] || echo spread)" -v read="${BENCH_READ:+read}" -v json="$json" "$results"
