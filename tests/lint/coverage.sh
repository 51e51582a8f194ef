#!/bin/sh
# Line coverage by folder, from gcov's notes of a CONFIG=coverage build.  usage: coverage.sh BUILD
set -eu
find "$1/obj/proxy" "$1/obj/ctl" "$1/obj/chaos" "$1/obj/examples" -name '*.gcda' -print0 |
    xargs -0 gcov --no-output --relative-only 2>/dev/null |
    awk -F"'" '
        /^File/ { file = $2 }
        /^Lines executed/ && file != "" {
            split($0, a, /[:%]/); split($0, b, "of "); folder = file; sub(/\/[^\/]*$/, "", folder)
            if (file ~ /\.c$/) { lines[folder] += b[2]; hit[folder] += a[2] * b[2] / 100 }
            file = ""
        }
        END { for (f in lines) printf "  %-28s %6.1f %% of %6d lines\n", f, 100 * hit[f] / lines[f], lines[f] }' |
    sort
