#!/usr/bin/env bash
# Runs every fuzz test of the module for the given time each (default 10s), as many side by side as there are cores, one
# worker each: go test takes one test at a time. All of them run, also after one has failed; then the exit code is not 0.
# Inputs are made smaller by 50 tries each: the default, a minute for each, is most of the time of a slow test.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZTIME=${1:-10s}

one() {
	local file=${1%%:*} name=${1#*:} out status=0
	out=$(go test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 50x -parallel 1 "${file%/*}" 2>&1) || status=$?
	printf '== %s %s\n%s\n' "${file%/*}" "$name" "$out"
	return "$status"
}
export -f one

tests=$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/:func /:/' | sort) || true
if [[ -z $tests ]]; then
	echo "no fuzz test found" >&2
	exit 1
fi
xargs -P "$(nproc)" -I{} bash -c 'one "$1"' fuzz {} <<<"$tests"
