#!/bin/bash
# The proxies under test, for run.sh to source: for each PEER, peer_PEER starts it fresh in front of
# the load generators' port and waits until it listens. All get as many workers as the machine has
# cores (BENCH_WORKERS), their largest sensible buffers, and no logging.
#
# Sets: pid[PEER]; port[TARGET], the TCP port of a target, and udp[TARGET]; refused[TARGET] when the
# peer has refused the target's fault. A peer that is not there is in absent[PEER].

declare -A pid port udp refused absent delay_ns

next_port=20000
new_port() { # VARIABLE: a port below the ephemeral ones that nobody is bound to
    local hex
    while :; do
        next_port=$((next_port + 1))
        printf -v hex ':%04X ' "$next_port"
        grep -qs "^ *[0-9]*: [0-9A-F]*$hex" /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 || break
    done
    printf -v "$1" %s "$next_port"
}

await_listening() { # PEER PORT: fails when the peer has ended before
    local hex deadline=$((SECONDS + 10))
    printf -v hex ':%04X 0*:0000 0A' "$2"
    until grep -qsE "$hex" /proc/net/tcp; do
        if ! kill -0 "${pid[$1]}" 2>/dev/null || [ $SECONDS -gt $deadline ]; then
            echo "bench: $1 does not start:" >&2
            sed 's/^/    | /' "$work/$1.log" >&2
            return 1
        fi
        read -rt 0.02 <> <(:) || :
    done
}

# In a session of its own, so that its workers can be ended with it.
start() { # PEER COMMAND...
    local peer=$1
    shift
    (ulimit -n "$(ulimit -Hn)" && exec setsid "$@") >"$work/$peer.log" 2>&1 </dev/null &
    pid[$peer]=$!
}

stop() { # PEER
    local process=${pid[$1]:-}
    [ -n "$process" ] || return 0
    unset "pid[$1]"
    kill -TERM -- "-$process" 2>/dev/null || kill -TERM "$process" 2>/dev/null
    wait "$process" 2>/dev/null || :
    kill -KILL -- "-$process" 2>/dev/null || :
}

request() { # METHOD PORT PATH BODY: prints the answer; fails unless it is 2xx
    local connection answer
    exec {connection}<>"/dev/tcp/127.0.0.1/$2" || return 1
    printf '%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
        "$1" "$3" "${#4}" "$4" >&"$connection"
    answer=$(cat <&"$connection")
    exec {connection}>&-
    [[ $answer == HTTP/1.?\ 2* ]] || { echo "$1 $3 $4: $answer" >>"$work/requests.log"; return 1; }
    printf '%s' "$answer"
}

has() { command -v "$1" >/dev/null 2>&1; }

peer_direct() {
    port[direct]=$sink udp[direct]=$sink
}

severd_route() { # TARGET PROTOCOL FAULT: a route, and on it a fault of severd's API without its place
    local name=$1 listen spread=
    new_port listen
    [ "${BENCH_SPREAD:-1}" = 1 ] && [ "$2" = tcp ] && spread=', "spread": true'
    if ! request POST "$control" /v1/routes "{\"name\": \"$2 $name\", \"protocol\": \"$2\", \"to\": null,
            \"listen\": \"127.0.0.1:$listen\", \"upstream\": \"127.0.0.1:$sink\", \"enabled\": true$spread}" >/dev/null ||
        { [ -n "$3" ] && ! request POST "$control" /v1/faults "{$3, \"route\": \"$2 $name\"}" >/dev/null; }; then
        refused[$name]=1
    fi
    if [ "$2" = tcp ]; then port[$name]=$listen; else udp[$name]=$listen; fi
}

severd_delay() { # TARGET NANOSECONDS
    delay_ns[$1]=$2
    severd_route "$1" tcp "\"type\": \"latency\", \"delay_ns\": $2, \"direction\": \"upstream\""
}

peer_severd() {
    new_port control
    start severd "$build/bin/severd" --die-with-parent --listen "127.0.0.1:$control" --log-level debug \
        --workers "$workers" --seed "$seed" --run-dir "$work/severd"
    await_listening severd "$control" || return 1
    severd_route severd tcp ''
    severd_route severd udp ''
    severd_delay 'severd 1 ms' 1000000
    severd_delay 'severd 5 ms' 5000000
    severd_delay 'severd 20 ms' 20000000
    severd_delay 'severd 100 ms' 100000000
    severd_delay 'severd 200 ms' 200000000
    severd_delay 'severd 1 s' 1000000000
    severd_route 'severd rate 1 Gbit/s' tcp '"type": "rate", "bytes_per_s": 125000000'
    severd_route 'severd slicer' tcp '"type": "slicer", "average_bytes": 16384, "variation_bytes": 8192, "delay_ns": 0'
}

haproxy_with() { # PEER SETTING: splices
    has haproxy || { absent[$1]=1; return; }
    new_port "port[$1]"
    cat >"$work/$1.cfg" <<CONFIG
global
    nbthread $workers
    maxconn 6000
    $2
defaults
    mode tcp
    maxconn 6000
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    option splice-request
    option splice-response
    option tcp-smart-connect
listen bench
    bind 127.0.0.1:${port[$1]}
    server sink 127.0.0.1:$sink
CONFIG
    start "$1" haproxy -db -f "$work/$1.cfg"
    await_listening "$1" "${port[$1]}"
}

peer_haproxy() { haproxy_with haproxy ''; }
peer_haproxy-1m() { haproxy_with haproxy-1m 'tune.pipesize 1048576'; } # not its default

peer_nginx() {
    local module=/usr/lib/nginx/modules/ngx_stream_module.so
    { has nginx && [ -e "$module" ]; } || { absent[nginx]=1; return; }
    new_port 'port[nginx]'
    new_port 'udp[nginx]'
    cat >"$work/nginx.conf" <<CONFIG
load_module $module;
daemon off;
pid $work/nginx.pid;
error_log stderr crit;
worker_processes $workers;
worker_rlimit_nofile 20000;
events { worker_connections 10000; }
stream {
    proxy_buffer_size 64k;
    proxy_timeout 1h;
    server { listen 127.0.0.1:${port[nginx]}; proxy_pass 127.0.0.1:$sink; tcp_nodelay on; }
    server { listen 127.0.0.1:${udp[nginx]} udp reuseport; proxy_pass 127.0.0.1:$sink; proxy_responses 1000000; }
}
CONFIG
    start nginx nginx -p "$work" -c "$work/nginx.conf"
    await_listening nginx "${port[nginx]}"
}

peer_socat() {
    has socat || { absent[socat]=1; return; }
    new_port 'port[socat]'
    start socat socat -b 262144 "TCP4-LISTEN:${port[socat]},bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay" \
        "TCP4:127.0.0.1:$sink,nodelay"
    await_listening socat "${port[socat]}"
}

toxiproxy_delay() { # TARGET MILLISECONDS
    new_port "port[$1]"
    delay_ns[$1]=$(($2 * 1000000))
    request POST "$toxiproxy" /proxies "{\"name\": \"d$2\", \"listen\": \"127.0.0.1:${port[$1]}\",
        \"upstream\": \"127.0.0.1:$sink\", \"enabled\": true}" >/dev/null || return 1
    [ "$2" = 0 ] || request POST "$toxiproxy" "/proxies/d$2/toxics" \
        "{\"type\": \"latency\", \"stream\": \"upstream\", \"attributes\": {\"latency\": $2}}" >/dev/null
}

peer_toxiproxy() {
    has "${TOXIPROXY_SERVER:-}" || { absent[toxiproxy]=1; return; }
    local toxiproxy ms
    new_port toxiproxy
    GOMAXPROCS=$workers LOG_LEVEL=error start toxiproxy "$TOXIPROXY_SERVER" -host 127.0.0.1 -port "$toxiproxy"
    await_listening toxiproxy "$toxiproxy" || return 1
    toxiproxy_delay toxiproxy 0 || return 1
    for ms in 1 5 20 100 200; do toxiproxy_delay "toxiproxy $ms ms" "$ms" || return 1; done
}
