#!/bin/bash
# The sections of labs, for run.sh to source: a lab's links beside a veth pair between two network
# namespaces (with offloads and without), and beside the user-mode networks of Debian, which lead from
# a namespace to the host. One lab has them all: n0 sends to one node for each kind of link. What the
# load generators do goes into the namespaces by -N and -F; congestion control is cubic everywhere,
# for what a kernel has as its default differs. All works for an ordinary user as for root.
#
# Sets: ends[TARGET], the generators' options for where the ends are; asked[TARGET], what a link was
# asked to do (the report compares); lab_node[TARGET], the node that n0 sends to; lab_main, the control
# port of the lab that has them. lab_control is that of the last severd here.

declare -A ends asked lab_pid lab_address lab_node
lab_sections=(lab-throughput lab-rtt lab-packets lab-delay lab-loss lab-rate lab-64)
lab_peers=(lab veth veth-plain pasta slirp4netns)
# Neighbours in this list are on different workers: targets that are measured for speed have odd places.
lab_nodes=(n0 plain loss1 single loss10 delay1 bursts delay10 rate100 delay100 pad rate1000)
LAB_DATAGRAMS=150000 # sent through a lossy link for each second of the measurement
LAB_MANY=64

lab_read() { # JSON of GET /v1/lab: lab_pid and lab_address by the node's name
    local name number address
    while read -r name number address; do
        lab_pid[$name]=$number lab_address[$name]=$address
    done < <(tr '{' '\n' <<<"$1" |
        sed -n 's/^"name":"\([^"]*\)".*"pid":\([0-9]*\),.*"addresses":\["\([0-9.]*\)".*/\1 \2 \3/p')
}

lab_names() { # NAME...: as JSON
    local list
    printf -v list '"%s",' "$@"
    printf '[%s]' "${list%,}"
}

lab_severd() { # PEER: severd without a ruleset; its port is in lab_control
    new_port lab_control
    start "$1" "$build/bin/severd" --die-with-parent --listen "127.0.0.1:$lab_control" --workers "$workers" \
        --seed "$seed" --run-dir "$work/$1"
    await_listening "$1" "$lab_control"
}

lab_target() { # TARGET NODE FAULT: a fault of the API without its place, or nothing
    port[$1]=$sink
    lab_node[$1]=$2
    ends[$1]="-N ${lab_pid[n0]} -F ${lab_pid[$2]} -a ${lab_address[$2]} -k cubic"
    [ -z "$3" ] || request POST "$lab_control" /v1/faults "{$3}" >/dev/null || refused[$1]=1
}

lab_delayed() { # TARGET NODE NANOSECONDS
    delay_ns[$1]=$3
    lab_target "$1" "$2" "\"type\": \"latency\", \"delay_ns\": $3, \"link\": \"n0->$2\""
}

lab_losing() { # TARGET NODE PARAMETERS PROBABILITY [TO_BAD TO_GOOD]
    asked[$1]="${*:4}"
    lab_target "$1" "$2" "\"type\": \"loss\", $3, \"link\": \"n0->$2\""
}

lab_limited() { # TARGET NODE BITS_PER_SECOND
    asked[$1]=$3
    lab_target "$1" "$2" "\"type\": \"rate\", \"bytes_per_s\": $(($3 / 8)), \"link\": \"n0->$2\""
}

peer_lab() {
    local lab
    lab_severd lab || return 1
    lab_main=$lab_control
    lab=$(request PUT "$lab_control" /v1/lab "{\"nodes\": $(lab_names "${lab_nodes[@]}")}") || {
        cat "$work/requests.log" >&2
        return 1
    }
    lab_read "$lab"
    lab_target lab plain ''
    # A fault that means single packets, and changes none of them.
    lab_target 'lab single packets' single '"type": "duplicate", "probability": 0, "link": "n0<->single"'
    lab_delayed 'lab 1 ms' delay1 1000000
    lab_delayed 'lab 10 ms' delay10 10000000
    lab_delayed 'lab 100 ms' delay100 100000000
    lab_losing 'lab loss 1 %' loss1 '"model": "random", "probability": 0.01' 0.01
    lab_losing 'lab loss 10 %' loss10 '"model": "random", "probability": 0.1' 0.1
    lab_losing 'lab bursts of 4' bursts \
        '"model": "gilbert-elliott", "to_bad": 0.01, "to_good": 0.25, "lost_in_bad": 1' 0.0384615 0.01 0.25
    lab_limited 'lab 100 Mbit/s' rate100 100000000
    lab_limited 'lab 1 Gbit/s' rate1000 1000000000
    port['lab of 64']=$sink
}

cable() { # PEER KIND: starts it; the namespaces are in lab_pid[near] and lab_pid[far]
    local name number deadline=$((SECONDS + 10))
    start "$1" "$build/bench/cable" "$2"
    until grep -qs ^near "$work/$1.log"; do
        if ! kill -0 "${pid[$1]}" 2>/dev/null || [ $SECONDS -gt $deadline ]; then
            echo "bench: $1 does not start:" >&2
            sed 's/^/    | /' "$work/$1.log" >&2
            return 1
        fi
        read -rt 0.02 <> <(:) || :
    done
    while read -r name number; do lab_pid[$name]=$number; done <"$work/$1.log"
}

veth() { # PEER KIND
    cable "$1" "$2" || return 1
    port[$1]=$sink
    ends[$1]="-N ${lab_pid[near]} -F ${lab_pid[far]} -a 10.78.0.2 -k cubic"
}
peer_veth() { veth veth pair; }
peer_veth-plain() { veth veth-plain plain; }

# A namespace whose network another program makes; the host's loopback is its gateway 10.0.2.2.
lab_user_network() { # PEER COMMAND...
    local peer=$1 deadline=$((SECONDS + 5))
    shift
    start "$peer" "$@"
    until grep -qsE '^[^	]+	00000000	0202000A' "/proc/${lab_pid[near]}/net/route"; do
        if ! kill -0 "${pid[$peer]}" 2>/dev/null || [ $SECONDS -gt $deadline ]; then
            echo "bench: $peer does not start:" >&2
            sed 's/^/    | /' "$work/$peer.log" >&2
            return 1
        fi
        read -rt 0.02 <> <(:) || :
    done
    port[$peer]=$sink
    ends[$peer]="-N ${lab_pid[near]} -a 10.0.2.2 -k cubic"
}

peer_pasta() {
    local as_root=()
    has pasta || { absent[pasta]=1; return; }
    cable pasta-space alone || return 1
    [ "$(id -u)" != 0 ] || as_root=(--runas 0) # the namespace is root's
    lab_user_network pasta pasta -f -e -q "${as_root[@]}" --config-net -a 10.0.2.100 -n 24 -g 10.0.2.2 \
        -t none -u none -T none -U none "${lab_pid[near]}"
}

peer_slirp4netns() { # with the MTU that rootless containers give it
    has slirp4netns || { absent[slirp4netns]=1; return; }
    cable slirp4netns-space alone || return 1
    lab_user_network slirp4netns slirp4netns -c --mtu=65520 "--userns-path=/proc/${lab_pid[near]}/ns/user" \
        "${lab_pid[near]}" tap0
}

lab_targets_of() { # SECTION: one a line
    local cables=(lab veth 'lab single packets' veth-plain)
    case $1 in
    lab-throughput | lab-rtt) printf '%s\n' "${cables[@]}" pasta slirp4netns ;;
    lab-packets) printf '%s\n' "${cables[@]}" ;;
    lab-delay) printf '%s\n' 'bare sleep' lab veth 'lab 1 ms' 'lab 10 ms' 'lab 100 ms' ;;
    lab-loss) printf '%s\n' 'lab loss 1 %' 'lab loss 10 %' 'lab bursts of 4' ;;
    lab-rate) printf '%s\n' 'lab 100 Mbit/s' 'lab 1 Gbit/s' ;;
    lab-64) printf '%s\n' 'lab of 64' ;;
    esac
}

of_lab_peer() { # TARGET: -p PID, of those that are processes
    case $1 in veth*) ;; *) of_peer "$1" ;; esac
}

# The receiver reads, as the nodes of a cluster do; and then, for comparison, has the bytes thrown away.
measure_lab-throughput() {
    # shellcheck disable=SC2046,SC2086
    measure lab-throughput "$1" throughput -r ${ends[$1]} -c "$sink" -s "${seconds}s" $(of_lab_peer "$1")
    # shellcheck disable=SC2046,SC2086
    measure lab-unread "$1" throughput ${ends[$1]} -c "$sink" -s "${seconds}s" $(of_lab_peer "$1")
}
measure_lab-rtt() {
    # shellcheck disable=SC2046,SC2086
    measure lab-rtt "$1" roundtrip ${ends[$1]} -c "$sink" -s "${seconds}s" $(of_lab_peer "$1")
}
measure_lab-packets() { # a flood, and so many as are received; alone, and 50 at a time as one super-packet
    local bytes segments
    for bytes in 64 1200; do
        for segments in 1 50; do
            # shellcheck disable=SC2046,SC2086
            measure "lab-packets-$bytes-$segments" "$1" packets ${ends[$1]} -c "$sink" -s "${seconds}s" -b "$bytes" \
                -g "$segments" $(of_lab_peer "$1")
            # shellcheck disable=SC2046,SC2086
            measure "lab-packets-$bytes-$segments" "$1" datagrams ${ends[$1]} -c "$sink" -s "${seconds}s" -b "$bytes" \
                -g "$segments" -n $((segments > 1 ? 24 : 128)) $(of_lab_peer "$1")
        done
    done
}
measure_lab-delay() {
    [ "$1" != 'bare sleep' ] || { measure_sleep lab-delay; return; }
    # shellcheck disable=SC2086
    measure lab-delay "$1" delay ${ends[$1]} -u -c "$sink" -s "${seconds}s" -d "${delay_ns[$1]:-0}ns"
}
lab_dropped() { # TARGET: what severd has dropped on its link, by loss and otherwise
    request GET "$lab_main" /v1/links "" | tr -d "\n " | sed "s/{\"link\"/\n&/g" |
        sed -n "s/^{\"link\":\"n0->${lab_node[$1]}\".*\"dropped\":{\([^}]*\)}.*/\1/p" | tr -d \" | tr , "\n" |
        awk -F : "\$1 == \"loss\" { loss = \$2; next } { other += \$2 } END { print loss + 0, other + 0 }"
}
measure_lab-loss() {
    local before after count
    before=$(lab_dropped "$1")
    count=$(awk -v s="$seconds" -v n="$LAB_DATAGRAMS" 'BEGIN { printf "%d", s * n }')
    # shellcheck disable=SC2086
    measure lab-loss "$1" loss ${ends[$1]} -c "$sink" -n "$count"
    after=$(lab_dropped "$1")
    record lab-loss "$1" severd_loss $((${after% *} - ${before% *}))
    record lab-loss "$1" severd_other $((${after#* } - ${before#* }))
}
measure_lab-rate() { # the warm-up: until TCP has found the rate
    # shellcheck disable=SC2086
    measure lab-rate "$1" throughput ${ends[$1]} -c "$sink" -s "${seconds}s" -w 1s
}

lab_timed() { # METRIC METHOD PATH BODY: the answer is in $work/answer
    local begin=${EPOCHREALTIME/./}
    request "$2" "$lab_control" "$3" "$4" >"$work/answer" || return 1
    record lab-64 'lab of 64' "$1" "$(awk -v us="$((${EPOCHREALTIME/./} - begin))" 'BEGIN { print us / 1000 }')"
}

lab_memory() { # METRIC PID: of its own, in MiB, the rings apart, and all that it has mapped
    awk -v own="$1_own_mib" -v all="$1_mib" '
        $1 == "RssAnon:" { print own, $2 / 1024 }
        $1 == "VmRSS:" { print all, $2 / 1024 }' "/proc/$2/status" |
        while read -r name value; do record lab-64 'lab of 64' "$name" "$value"; done
}

lab_faults() { # 1 ms on each link
    awk -v nodes="$LAB_MANY" 'BEGIN {
        printf "{\"faults\": ["
        for (i = 1; i <= nodes; i++)
            for (j = 1; j <= nodes; j++)
                if (i != j)
                    printf "%s{\"type\": \"latency\", \"delay_ns\": 1000000, \"link\": \"n%d->n%d\"}", (comma++ ? ", " : ""), i, j
        printf "]}" }'
}

measure_lab-64() { # 64 nodes, a fault on each of their 4,032 links
    local target='lab of 64' names i
    for ((i = 1; i <= LAB_MANY; i++)); do names+=("n$i"); done
    printf 'bench: %-11s round %d  %s\n' lab-64 "$round" "$target" >&2
    if lab_severd lab-64 &&
        lab_timed up_ms PUT /v1/lab "{\"nodes\": $(lab_names "${names[@]}")}"; then
        lab_read "$(cat "$work/answer")"
        lab_memory up "${pid[lab-64]}"
        lab_timed faults_ms POST /v1/faults "$(lab_faults)" || record lab-64 "$target" failed 1
        lab_memory faults "${pid[lab-64]}"
        local ends="-N ${lab_pid[n1]} -F ${lab_pid[n2]} -a ${lab_address[n2]} -k cubic"
        # shellcheck disable=SC2086
        measure lab-64 "$target" throughput $ends -c "$sink" -s "${seconds}s" -p "${pid[lab-64]}"
        # shellcheck disable=SC2086
        measure lab-64 "$target" delay $ends -u -c "$sink" -s "${seconds}s" -d 1ms
        lab_timed heal_ms DELETE /v1/faults ''
    else
        record lab-64 "$target" failed 1
        cat "$work/requests.log" >&2
    fi
    stop lab-64
}
