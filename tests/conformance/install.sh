#!/bin/sh
# Installs the public client by its lock file, below the build folder. What makes that impossible is
# kept in FOLDER/skipped.  usage: install.sh SOURCE FOLDER
set -eu
mkdir -p "$2"
cp "$1"/* "$2"
rm -f "$2/skipped"
if ! command -v npm >/dev/null 2>&1; then
    echo 'npm is not installed' >"$2/skipped"
elif ! (cd "$2" && npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1); then
    printf 'npm ci failed: %s\n' "$(grep -m 1 -i error "$2/npm.log" || tail -n 1 "$2/npm.log")" >"$2/skipped"
fi
touch "$2/.tried"
