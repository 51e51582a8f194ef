#!/bin/bash
# make lint: every standard that a machine can hold, as one list of "file:line: what" findings.
set -u
cd "$(dirname "$0")/../.."
for tool in clang-format clang-tidy cppcheck git pkg-config; do # one that isn't there would find nothing
    command -v "$tool" >/dev/null || { echo "lint: $tool is missing" >&2; exit 1; }
done
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
mapfile -t sources < <(git ls-files -co --exclude-standard '*.c' '*.h' | while read -r f; do [ -f "$f" ] && echo "$f"; done)
failed=0

check() { # NAME COMMAND...: prints findings, counts them
    local name=$1 begin=${EPOCHREALTIME/./} count
    shift
    "$@" >"$findings" 2>&1
    count=$(grep -c . "$findings")
    printf '  lint  %-12s %4d findings  %5d ms\n' "$name" "$count" $(((${EPOCHREALTIME/./} - begin) / 1000))
    [ "$count" = 0 ] || { sed 's/^/    /' "$findings" | head -80; failed=1; }
}

format() {
    clang-format --dry-run -Werror "${sources[@]}" 2>&1 | grep 'error:' | sed 's/error: code should be clang-formatted.*/run: clang-format -i on this file/' | sort -u -t: -k1,1
}
includes() { awk -f tests/lint/includes.awk tests/lint/includes.txt "${sources[@]}"; }
banned() { awk -f tests/lint/banned.awk "${sources[@]}"; }
sizes() { awk -f tests/lint/sizes.awk tests/lint/exceptions.txt "${sources[@]}"; }
packages=$(pkg-config --cflags cmocka jansson libcurl libmicrohttpd libfyaml libpq libnl-route-3.0 libpcap 2>/dev/null)
tidy_some() { # CHECKS added to .clang-tidy's; files on standard input
    xargs -P "$(nproc)" -n 4 sh -c 'clang-tidy --quiet --checks="'"$1"'" "$@" -- -I. -D_GNU_SOURCE -std=c11 '"$packages"' 2>/dev/null' tidy |
        grep -E '(warning|error):' | sed "s|^$PWD/||" | sort -u
}
tidy() { # the path-sensitive analyzer, ten times the rest, is for what ships
    printf '%s\n' "${sources[@]}" | grep '\.c$' | grep -v '^tests/' | tidy_some ''
    printf '%s\n' "${sources[@]}" | grep '^tests/.*\.c$' | tidy_some '-clang-analyzer-*'
}
static() {
    cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr \
        --suppressions-list=tests/lint/cppcheck.txt --template='{file}:{line}: {message} [{id}]' \
        -D'json_array_foreach(a,i,v)=for(i=0;i<json_array_size(a)&&(v=json_array_get(a,i));i++)' \
        -D'json_object_foreach(o,k,v)=for(;(v=json_object_next(o,&k));)' \
        -j "$(nproc)" -I. -D_GNU_SOURCE proxy ctl chaos examples tests/lib 2>&1
}
shell() {
    local script
    for script in $(git ls-files '*.sh' .ci/run .ci/deps); do
        case $(head -1 "$script") in *bash*) bash -n "$script" ;; *) sh -n "$script" ;; esac
    done 2>&1
}

check format format
check includes includes
check banned banned
check sizes sizes
check shell shell
check cppcheck static
[ "${LINT_FAST:-0}" = 1 ] || check clang-tidy tidy
if [ "$failed" = 0 ]; then echo 'lint: clean'; else echo 'lint: see the findings above' >&2; fi
exit $failed
