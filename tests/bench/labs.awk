# The tables of labs (labs.sh), for report.awk.
function total(section, target, metric,    key, i, sum) {
    key = section SUBSEP target SUBSEP metric
    for (i = 1; i <= count[key]; i++) sum += values[key, i]
    return sum + 0
}
function lab_state(target) { return has("note", target, "absent") ? "not installed" : has("note", target, "failed") ? "did not start" : has("note", target, "refused") ? "refused" : "" }
function lab_rtt_added(target) {
    if (!has("lab-rtt", target, "rtt_p50_us") || !has("lab-rtt", "veth", "rtt_p50_us")) return "-"
    return sprintf("%+.1f", median("lab-rtt", target, "rtt_p50_us") - median("lab-rtt", "veth", "rtt_p50_us"))
}
function lab_stream_row(target, title,    state) {
    state = lab_state(target)
    if (state != "") { printf "%-34s %s\n", title, state; return }
    if (!has("lab-throughput", target, "gbit_per_s") && !has("lab-rtt", target, "rtt_p50_us") && !has("lab-throughput", target, "failed") && !has("lab-rtt", target, "failed")) return
    printf "%-34s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", title, \
        cell("lab-throughput", target, "gbit_per_s", "%.2f", 1), ratio("lab-throughput", target, "veth", "gbit_per_s"), \
        ratio("lab-throughput", target, "veth-plain", "gbit_per_s"), cell("lab-throughput", target, "cpu_s_per_gib", "%.3f", 1), \
        cell("lab-throughput", target, "ends_cpu_s_per_gib", "%.3f", 1), \
        cell("lab-unread", target, "gbit_per_s", "%.2f", 1), ratio("lab-unread", target, "veth", "gbit_per_s"), cell("lab-rtt", target, "rtt_p50_us", "%.1f", 1), \
        cell("lab-rtt", target, "rtt_p99_us", "%.1f", 1), lab_rtt_added(target), cell("lab-rtt", target, "cpu_us_per_rtt", "%.1f", 1)
}
function lab_packets_cells(section, target) {
    return sprintf("%7s %7s %7s", cell(section, target, "datagrams_per_s", "%.1f", 0.001), cell(section, target, "sent_per_s", "%.1f", 0.001), cell(section, target, "received_per_s", "%.1f", 0.001))
}
function lab_packets_row(target, title) {
    if (!has("lab-packets-64-1", target, "sent_per_s") && !has("lab-packets-64-1", target, "failed")) return
    printf "%-34s %s  %s  %s  %s\n", title, lab_packets_cells("lab-packets-64-1", target), lab_packets_cells("lab-packets-1200-1", target), \
        lab_packets_cells("lab-packets-64-50", target), lab_packets_cells("lab-packets-1200-50", target)
}
function lab_delay_row(target, title) { delay_cells("lab-delay", target, title) }
# Of what was asked, in how many of 100 measurements the figure lies within this of it: 99. Losses of
# a Gilbert-Elliott link come together, so that their number varies more.
function lab_loss_bound(target, asked, n,    part, memory) {
    memory = lab_asked(target, part) > 1 ? 1 - part[2] - part[3] : 0
    return 2.576 * sqrt(asked * (1 - asked) / n * (1 + memory) / (1 - memory))
}
function lab_asked(target, part) { return split(asked[target], part, " ") }
function lab_loss_row(target,    part, n, lost, bursts, seen, bound, good) {
    if (!has("lab-loss", target, "sent")) { if (has("lab-loss", target, "failed")) printf "%-34s failed\n", target; return }
    n = total("lab-loss", target, "sent"); lost = total("lab-loss", target, "lost"); bursts = total("lab-loss", target, "bursts")
    lab_asked(target, part)
    seen = lost / n
    bound = lab_loss_bound(target, part[1], n)
    printf "%-34s %9d %9.3f %9.3f %9.3f %9s", target, n, 100 * part[1], 100 * seen, 100 * bound, (seen - part[1]) ^ 2 <= bound ^ 2 ? "within" : "OUTSIDE"
    if (bursts && (3 in part)) {
        good = part[3]
        printf "   bursts of %.3f, asked %.3f +- %.3f", lost / bursts, 1 / good, 2.576 * sqrt((1 - good) / bursts) / good
    }
    if (total("lab-loss", target, "severd_other") || total("lab-loss", target, "severd_loss") != lost)
        printf "   severd counts %d lost and %d dropped otherwise", total("lab-loss", target, "severd_loss"), total("lab-loss", target, "severd_other")
    printf "\n"
}
# What TCP delivers, with the headers that the link counts: 1448 bytes in packets of 1500.
function lab_rate(target) { return median("lab-rate", target, "gbit_per_s") * 1e9 * 1500 / 1448 }
function lab_rate_row(target) {
    if (!has("lab-rate", target, "gbit_per_s")) { if (has("lab-rate", target, "failed")) printf "%-34s failed\n", target; return }
    printf "%-34s %9.1f %9.3f %+9.3f %%\n", target, asked[target] / 1e6, lab_rate(target) / 1e6, 100 * (lab_rate(target) / asked[target] - 1)
}
function lab_many_row(title, metric, format) {
    if (has("lab-64", "lab of 64", metric)) printf "  %-42s %9s\n", title, cell("lab-64", "lab of 64", metric, format, 1)
}
function print_lab_streams() {
    printf "\n%-34s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "labs: TCP, cubic, MTU 1500", "1 TCP", "of", "of plain", "CPU", "CPU of", "thrown", "of", "1 byte", "round", "trip:", "CPU us"
    printf "%-34s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "", "Gbit/s", "veth", "veth", "s/GiB", "ends", "away", "veth", "p50 us", "p99 us", "added", "a trip"
    lab_stream_row("veth", "veth pair, offloads"); lab_stream_row("lab", "lab, no fault")
    lab_stream_row("veth-plain", "veth pair, no offloads"); lab_stream_row("lab single packets", "lab, cut into single packets")
    lab_stream_row("pasta", "pasta, to the host, MTU 65520"); lab_stream_row("slirp4netns", "slirp4netns, to host, MTU 65520")
}
function print_lab_packets(    i) {
    printf "\n%-34s %23s  %23s  %23s  %23s\n", "labs: UDP packets, 1000/s", "64 B", "1200 B", "50 x 64 B", "50 x 1200 B"
    printf "%-34s", "(window; a flood: sent, received)"
    for (i = 1; i <= 4; i++) printf "%s%7s %7s %7s", i == 1 ? " " : "  ", "window", "sent", "receiv."
    print ""
    lab_packets_row("veth", "veth pair, offloads"); lab_packets_row("lab", "lab, no fault")
    lab_packets_row("veth-plain", "veth pair, no offloads"); lab_packets_row("lab single packets", "lab, cut into single packets")
}
function print_lab_fidelity() {
    if (has("lab-delay", "lab", "error_p50_us")) delay_heading("labs: delay error one way, us")
    lab_delay_row("veth", "veth pair"); lab_delay_row("lab", "lab, no delay"); lab_delay_row("lab 1 ms", "lab, 1 ms"); lab_delay_row("lab 10 ms", "lab, 10 ms"); lab_delay_row("lab 100 ms", "lab, 100 ms"); lab_delay_row("bare sleep", "bare sleep")
    if (has("lab-loss", "lab loss 1 %", "sent")) printf "\n%-34s %9s %9s %9s %9s %9s\n", "labs: loss, all rounds", "packets", "asked %", "lost %", "+- (99 %)", ""
    lab_loss_row("lab loss 1 %"); lab_loss_row("lab loss 10 %"); lab_loss_row("lab bursts of 4")
    if (has("lab-rate", "lab 1 Gbit/s", "gbit_per_s")) printf "\n%-34s %9s %9s %11s\n", "labs: rate, Mbit/s", "asked", "measured", "error"
    lab_rate_row("lab 100 Mbit/s"); lab_rate_row("lab 1 Gbit/s")
}
function print_lab_many() {
    if (!has("lab-64", "lab of 64", "up_ms")) { if (has("lab-64", "lab of 64", "failed")) print "\nlab of 64 nodes: failed"; return }
    print "\nlab of 64 nodes, latency of 1 ms on each of 4,032 links"
    lab_many_row("making it, ms", "up_ms", "%.0f"); lab_many_row("4,032 faults set in one step, ms", "faults_ms", "%.1f")
    lab_many_row("all faults removed, ms", "heal_ms", "%.1f")
    lab_many_row("severd, MiB: own memory before the faults", "up_own_mib", "%.1f"); lab_many_row("  with the faults", "faults_own_mib", "%.1f")
    lab_many_row("  resident, what it maps of rings included", "faults_mib", "%.1f")
    lab_many_row("1 TCP on one of the links, Gbit/s", "gbit_per_s", "%.2f"); lab_many_row("  CPU s/GiB", "cpu_s_per_gib", "%.3f")
    lab_many_row("delay error on one of the links, us: p50", "error_p50_us", "%.1f"); lab_many_row("  p99", "error_p99_us", "%.1f"); lab_many_row("  p99.9", "error_p999_us", "%.1f")
}
function print_labs(    i, part) {
    if (!any_lab) return
    for (i = 1; i <= key_count; i++) {
        split(keys[i], part, SUBSEP)
        if (part[1] ~ /^lab-(throughput|rtt)$/) any_lab_stream = 1
        if (part[1] ~ /^lab-packets/) any_lab_packets = 1
    }
    if (any_lab_stream) print_lab_streams()
    if (any_lab_packets) print_lab_packets()
    print_lab_fidelity()
    print_lab_many()
}
function lab_share_goal(title, target, other, factor) {
    if (has("lab-throughput", target, "gbit_per_s") && has("lab-throughput", other, "gbit_per_s"))
        goal(title, median("lab-throughput", target, "gbit_per_s"), 0, factor * median("lab-throughput", other, "gbit_per_s"), "%.2f")
}
function lab_delay_goal(target) {
    if (has("lab-delay", target, "error_p99_us")) goal("delay error p99, us: " target, median("lab-delay", target, "error_p99_us"), 1, 150, "%.1f")
}
function lab_rate_goal(target,    error) {
    if (!has("lab-rate", target, "gbit_per_s")) return
    error = 100 * (lab_rate(target) / asked[target] - 1)
    goal("error of the rate, %: " target, error < 0 ? -error : error, 1, 1, "%.3f")
}
function lab_loss_goal(target,    part, n, off) {
    if (!has("lab-loss", target, "sent")) return
    n = total("lab-loss", target, "sent")
    lab_asked(target, part)
    off = total("lab-loss", target, "lost") / n - part[1]
    goal("error of the loss, points of %: " target, 100 * (off < 0 ? -off : off), 1, 100 * lab_loss_bound(target, part[1], n), "%.3f")
}
function lab_burst_goal(target,    part, bursts, off) {
    bursts = has("lab-loss", target, "bursts") ? total("lab-loss", target, "bursts") : 0
    if (!bursts) return
    lab_asked(target, part)
    off = total("lab-loss", target, "lost") / bursts - 1 / part[3]
    goal("error of the mean burst, packets: " target, off < 0 ? -off : off, 1, 2.576 * sqrt((1 - part[3]) / bursts) / part[3], "%.3f")
}
function print_lab_goals() {
    lab_share_goal("lab, Gbit/s: 0.9 x veth pair", "lab", "veth", 0.9)
    lab_share_goal("lab in single packets, Gbit/s: 0.5 x plain veth pair", "lab single packets", "veth-plain", 0.5)
    if (has("lab-rtt", "lab", "rtt_p50_us") && has("lab-rtt", "veth", "rtt_p50_us"))
        goal("round trip added by a lab, p50, us", median("lab-rtt", "lab", "rtt_p50_us") - median("lab-rtt", "veth", "rtt_p50_us"), 1, 25, "%.1f")
    if (has("lab-packets-64-50", "lab", "datagrams_per_s"))
        goal("packets of 64 B/s, 50 at a time", median("lab-packets-64-50", "lab", "datagrams_per_s"), 0, 1000000, "%d")
    lab_delay_goal("lab 1 ms"); lab_delay_goal("lab 10 ms"); lab_delay_goal("lab 100 ms")
    lab_loss_goal("lab loss 1 %"); lab_loss_goal("lab loss 10 %"); lab_loss_goal("lab bursts of 4"); lab_burst_goal("lab bursts of 4")
    lab_rate_goal("lab 100 Mbit/s"); lab_rate_goal("lab 1 Gbit/s")
}
