#!/usr/bin/env bash
# Runs every fuzz test of the module for the given time each (default 10s), one after the other: go test takes one only.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}

count=0
while IFS=: read -r file name; do
	count=$((count + 1))
	echo "== ${file%/*} $name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./${file%/*}"
done < <(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd collector drivers health internal store | sed 's/:func /:/' | sort)

if [[ $count -eq 0 ]]; then
	echo "no fuzz test found" >&2
	exit 1
fi
