# The tables of `make bench` from lines "SECTION<tab>TARGET<tab>METRIC<tab>VALUE", one a round; with
# -v json=FILE also everything as JSON there. A value is the median over the rounds.
BEGIN { FS = "\t"; FLOW_BITS = 512 * 1048576 * 8 } # what severd holds of one direction: FAULT-MODEL, Bounds
$1 == "asked" { asked[$2] = $4; next }
$1 ~ /^lab-/ { any_lab = 1 }
{
    key = $1 SUBSEP $2 SUBSEP $3
    if (!(key in count)) keys[++key_count] = key
    values[key, ++count[key]] = $4
}
function has(section, target, metric) { return (section SUBSEP target SUBSEP metric) in count }
function median(section, target, metric,    key, n, i, j, v, list) {
    key = section SUBSEP target SUBSEP metric
    n = count[key]
    for (i = 1; i <= n; i++) {
        v = values[key, i] + 0
        for (j = i - 1; j >= 1 && list[j] > v; j--) list[j + 1] = list[j]
        list[j + 1] = v
    }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
function cell(section, target, metric, format, scale) {
    if (has(section, target, metric)) return sprintf(format, median(section, target, metric) * scale)
    return has(section, target, "failed") ? "failed" : "-"
}
function ratio(section, target, other, metric) {
    if (!has(section, target, metric) || !has(section, other, metric) || !median(section, other, metric)) return "-"
    return sprintf("%.2f", median(section, target, metric) / median(section, other, metric))
}
function row(target,    peer) {
    peer = target; sub(/ .*/, "", peer)
    if (has("note", peer, "absent")) { if (peer == target) printf "%-22s not installed\n", target; return }
    if (has("note", target, "failed")) { printf "%-22s did not start\n", target; return }
    if (has("note", target, "refused")) { printf "%-22s refused\n", target; return }
    if (!any[target]) return
    printf "%-22s %7s %7s %7s %8s %7s %7s %7s %8s %7s %8s %7s %7s\n", target, \
        cell("throughput", target, "gbit_per_s", "%.2f", 1), ratio("throughput", target, "haproxy", "gbit_per_s"), \
        cell("throughput", target, "cpu_s_per_gib", "%.3f", 1), cell("streams", target, "gbit_per_s", "%.2f", 1), \
        cell("rtt", target, "rtt_p50_us", "%.1f", 1), cell("rtt", target, "rtt_p99_us", "%.1f", 1), \
        cell("rtt", target, "cpu_us_per_rtt", "%.1f", 1), \
        cell("connections", target, "connections_per_s", "%d", 1), \
        cell("connections", target, "cpu_us_per_connection", "%.1f", 1), \
        cell("memory", target, "idle_kib", "%.2f", 1), cell("memory", target, "start_mib", "%.1f", 1), cell("datagrams", target, "datagrams_per_s", "%.1f", 0.001)
}
function delay_heading(title) {
    printf "\n%-34s %9s %9s %9s %9s %9s  %9s %9s\n", title, "min", "p50", "p99", "p99.9", "max", "read: p50", "p99"
}
function delay_cells(section, target, title) {
    if (!has(section, target, "error_p50_us") && !has(section, target, "failed")) return
    printf "%-34s %9s %9s %9s %9s %9s  %9s %9s\n", title, cell(section, target, "error_min_us", "%.1f", 1), \
        cell(section, target, "error_p50_us", "%.1f", 1), cell(section, target, "error_p99_us", "%.1f", 1), \
        cell(section, target, "error_p999_us", "%.1f", 1), cell(section, target, "error_max_us", "%.1f", 1), \
        cell(section, target, "read_p50_us", "%.1f", 1), cell(section, target, "read_p99_us", "%.1f", 1)
}
function delay_row(target) { delay_cells("delay", target, target == "direct" ? "direct, no delay" : target) }
function split_row(title, name) {
    if (!has("split", "severd", name "_p50_us")) return
    printf "%-44s %9s %9s\n", title, cell("split", "severd", name "_p50_us", "%.0f", 1), \
        cell("split", "severd", name "_p99_us", "%.0f", 1)
}
# at_most: 1 when value may not exceed limit, 0 when it may not fall short of it.
function goal(title, value, at_most, limit, format,    met) {
    met = at_most ? value <= limit : value >= limit
    if (!goal_count++) print "\ngoal" sprintf("%66s %9s", "measured", "asked")
    printf "%-60s %9s  %s %-9s %s\n", title, sprintf(format, value), at_most ? "<=" : ">=", sprintf(format, limit), met ? "met" : "MISSED"
    goals[goal_count] = sprintf("{\"goal\": \"%s\", \"value\": %.4f, \"%s\": %.4f, \"met\": %s}", title, value, \
        at_most ? "at_most" : "at_least", limit, met ? "true" : "false")
}
function latency_goal(target, delay_s,    plain, bound) {
    if (!has("throughput", "severd", "gbit_per_s") || !has("throughput", target, "gbit_per_s")) return
    plain = 0.9 * median("throughput", "severd", "gbit_per_s")
    bound = 0.9 * FLOW_BITS / delay_s / 1e9
    goal("throughput, " target ", of no fault" (bound < plain ? ", by the memory bound" : ""), \
        median("throughput", target, "gbit_per_s"), 0, bound < plain ? bound : plain, "%.3f")
}
function compare_goal(title, section, metric, at_most, factor, format) {
    if (has(section, "severd", metric) && has(section, "haproxy", metric))
        goal(title, median(section, "severd", metric), at_most, factor * median(section, "haproxy", metric), format)
}
function print_goals(    i) {
    compare_goal("throughput, Gbit/s: 1.25 x HAProxy", "throughput", "gbit_per_s", 0, 1.25, "%.2f")
    compare_goal("CPU s/GiB: 0.7 x HAProxy", "throughput", "cpu_s_per_gib", 1, 0.7, "%.3f")
    if (has("throughput", "severd", "gbit_per_s") && has("throughput", "direct", "gbit_per_s"))
        goal("throughput, Gbit/s: 0.5 x direct", median("throughput", "severd", "gbit_per_s"), 0, \
            0.5 * median("throughput", "direct", "gbit_per_s"), "%.2f")
    if (has("rtt", "severd", "rtt_p50_us") && has("rtt", "nginx", "rtt_p50_us"))
        goal("round trip p50, us: nginx", median("rtt", "severd", "rtt_p50_us"), 1, median("rtt", "nginx", "rtt_p50_us"), "%.1f")
    latency_goal("severd 1 ms", 0.001); latency_goal("severd 20 ms", 0.02)
    latency_goal("severd 100 ms", 0.1); latency_goal("severd 1 s", 1)
    for (i = 1; i <= 4; i++)
        if (has("delay", delays[i], "error_p99_us"))
            goal("delay error p99, us: " delays[i], median("delay", delays[i], "error_p99_us"), 1, 150, "%.1f")
    if (has("memory", "severd", "idle_kib"))
        goal("KiB for an idle connection", median("memory", "severd", "idle_kib"), 1, 2, "%.2f")
    compare_goal("connections/s: HAProxy", "connections", "connections_per_s", 0, 1, "%d")
    if (has("split", "severd", "in_force_p99_us"))
        goal("split of 100 nodes in force, from the call, p99 us", median("split", "severd", "in_force_p99_us"), 1, 1000, "%.0f")
}
function write_json(    i, j, part, list) {
    printf "{\"machine\": \"%s\", \"workers\": %d, \"rounds\": %d, \"seconds\": %s, \"seed\": %d, \"spread\": %s, \"read\": %s,\n \"results\": [", \
        machine, workers, rounds, seconds, seed, (spread ? "true" : "false"), (read ? "true" : "false") >json
    for (i = 1; i <= key_count; i++) {
        split(keys[i], part, SUBSEP)
        list = ""
        for (j = 1; j <= count[keys[i]]; j++) list = list (j > 1 ? ", " : "") values[keys[i], j]
        printf "%s\n  {\"section\": \"%s\", \"target\": \"%s\", \"metric\": \"%s\", \"median\": %.6g, \"rounds\": [%s]}", \
            (i > 1 ? "," : ""), part[1], part[2], part[3], median(part[1], part[2], part[3]), list >json
    }
    printf "],\n \"goals\": [" >json
    for (i = 1; i <= goal_count; i++) printf "%s\n  %s", (i > 1 ? "," : ""), goals[i] >json
    printf "]}\n" >json
}
function print_routes(    i, rows, order) {
    printf "\n%-22s %7s %7s %7s %8s %7s %7s %7s %8s %7s %8s %7s %7s\n", "", "1 TCP", "of", "CPU", "8 TCP", "1 byte", "round", "trip: ", \
        "connec-", "CPU us/", "KiB/idle", "MiB at", "UDP"
    printf "%-22s %7s %7s %7s %8s %7s %7s %7s %8s %7s %8s %7s %7s\n", "", "Gbit/s", "HAProxy", "s/GiB", "Gbit/s", "p50 us", "p99 us", "CPU us", \
        "tions/s", "connec.", "connec.", "start", "1000/s"
    rows = split("direct;severd;severd 1 ms;severd 20 ms;severd 100 ms;severd 1 s;severd rate 1 Gbit/s;severd slicer;haproxy;haproxy-1m;nginx;socat;" \
        "toxiproxy;toxiproxy 1 ms;toxiproxy 20 ms;toxiproxy 100 ms", order, ";")
    for (i = 1; i <= rows; i++) row(order[i])
    if (has("delay", "direct", "error_p50_us")) delay_heading("delay error, us")
    rows = split("severd 1 ms;severd 5 ms;severd 20 ms;severd 200 ms;direct;bare sleep;toxiproxy 1 ms;toxiproxy 5 ms;toxiproxy 20 ms;toxiproxy 200 ms", delays, ";")
    for (i = 1; i <= rows; i++) delay_row(delays[i])
    if (has("split", "severd", "split_p50_us"))
        printf "\n%-44s %9s %9s\n", "split of 100 nodes, 200 live connections, us", "p50", "p99"
    split_row("  split: call to in force", "in_force"); split_row("  split: call to the first byte that it holds", "first_held"); split_row("  split: call to answer", "split"); split_row("  heal: call to answer", "heal")
    split_row("  of both, preparing the change (severd's log)", "prepared")
    split_row("  of both, bringing it into force", "published")
}
END {
    for (i = 1; i <= key_count; i++) {
        split(keys[i], part, SUBSEP)
        if (part[1] ~ /^(throughput|streams|rtt|connections|memory|datagrams)$/) any[part[2]] = 1
        if (part[1] ~ /^(throughput|streams|rtt|connections|memory|datagrams|delay|split)$/) any_route = 1
    }
    printf "%s; %d workers each%s; TCP of routes %s; medians of %d rounds of %s s; seed %d\n", machine, workers, \
        (spread ? ", severd's routes spread" : ""), (read ? "is read" : "ends at MSG_TRUNC"), rounds, seconds, seed
    if (any_route) print_routes()
    print_labs()
    print_goals()
    print_lab_goals()
    if (json != "") write_json()
}
