# Holds the table of who may include whom. First file: the table; the others: sources.
FNR == 1 { file_number++ }
file_number == 1 {
    if ($0 ~ /^#/ || NF == 0) next
    folder = $1; known[folder] = 1
    for (i = 2; i <= NF; i++)
        if ($i == "pure") pure[folder] = 1
        else if ($i != "-") allowed[folder] = allowed[folder] " " $i
    next
}
FNR == 1 {
    folder = FILENAME; sub(/\/[^\/]*$/, "", folder)
    is_test = FILENAME ~ /^tests\//
    if (!is_test && !(folder in known)) print FILENAME ":1: folder " folder " is not in tests/lint/includes.txt"
}
/^#include "/ && !is_test {
    split($0, parts, "\""); target = parts[2]
    inside = target; sub(/\/[^\/]*$/, "", inside)
    if (index(target, "/") == 0) { print FILENAME ":" FNR ": include from the root: \"" folder "/" target "\""; next }
    if (inside == folder) next
    count = split(allowed[folder], list, " "); fine = 0
    for (i = 1; i <= count; i++)
        if (inside == list[i] || target == list[i] || index(inside "/", list[i] "/") == 1) fine = 1
    if (!fine) print FILENAME ":" FNR ": " folder " may not include " target
}
/^#include </ && (folder in pure) && !is_test {
    if ($0 ~ /<(sys\/|netinet\/|arpa\/|net\/|linux\/|fcntl\.h|unistd\.h|time\.h|pthread\.h|poll\.h|signal\.h|dirent\.h)/)
        print FILENAME ":" FNR ": a pure module may not use " $2
}
