#!/bin/sh
# Builds Peal and measures it: by default every row of the table "Against C" of
# BENCHMARKS.md. Arguments are passed on: --short, --pairs N, --rows REGEXP, --list,
# --macro[=REGEXP] --count N, --memory, --own, --auth, --tls, --pusher, --json FILE, --transports,
# --sets, --edge, --requests, --workloads, --attacks[=REGEXP] --attacks-versus PEAL, --versus COMMAND, --peal-args ARGS …
# (--help shows all). PEAL=path measures that binary instead of a new one; PEAL=
# (empty) measures the ceiling against itself.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap : INT TERM # the program ends its children itself; then EXIT cleans up
go build -o "$dir/bench" ./bench/run
if [ "${PEAL-unset}" = unset ]; then
	go build -o "$dir/peal" ./cmd/peal
	PEAL=$dir/peal
fi
"$dir/bench" --peal "$PEAL" "$@"
