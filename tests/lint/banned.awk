# Calls that the house does not use, and what to use instead.
BEGIN {
    ban["strcpy"] = ban["strcat"] = ban["sprintf"] = ban["vsprintf"] = "snprintf or struct text"
    ban["gets"] = "fgets"; ban["strtok"] = ban["strtok_r"] = "strchr, strcspn"
    ban["atoi"] = ban["atol"] = ban["atof"] = ban["atoll"] = "units_parse_integer"
    ban["rand"] = ban["srand"] = ban["random"] = ban["srandom"] = ban["drand48"] = "proxy/base/random.h"
    ban["alloca"] = "a fixed size"; ban["system"] = ban["popen"] = "fork and exec"
    ban["signal"] = "sigaction"; ban["clock_gettime"] = ban["gettimeofday"] = ban["time"] = "loop_now_ns or proxy/base/monotonic.h"
    ban["usleep"] = ban["sleep"] = ban["nanosleep"] = "wait for a condition"
}
FNR == 1 { in_comment = 0 }
{
    line = $0
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    if (in_comment) { if (line ~ /\*\//) { sub(/.*\*\//, "", line); in_comment = 0 } else next }
    gsub(/\/\*.*\*\//, "", line); sub(/\/\/.*/, "", line)
    if (line ~ /\/\*/) { sub(/\/\*.*/, "", line); in_comment = 1 }
    clock_file = FILENAME ~ /^proxy\/base\/(monotonic|log)\.c$/ || FILENAME ~ /proxy\/clock\//
    if (FILENAME ~ /test_clock\.c$|tests\/unit\/proxy\/clock\//) clock_file = 1
    rest = line
    while (match(rest, /[A-Za-z_][A-Za-z_0-9]*[ ]*\(/)) {
        name = substr(rest, RSTART, RLENGTH); sub(/[ ]*\($/, "", name)
        before = RSTART > 1 ? substr(rest, RSTART - 1, 1) : ""
        if ((name in ban) && before !~ /[.>]/ &&
            !(clock_file && (name == "clock_gettime" || name == "gettimeofday" || name == "time" || name == "nanosleep")))
            print FILENAME ":" FNR ": " name "() is banned: use " ban[name]
        rest = substr(rest, RSTART + RLENGTH)
    }
}
