#!/bin/sh
# Generates the tables of BENCHMARKS.md, docs/transports.md and docs/deploy.md from the raw records
# in bench/results.
#
#   scripts/benchmarks.sh                              only generates the tables
#   scripts/benchmarks.sh --check                      writes nothing; prints a diff and exits with 1 if they differ
#   scripts/benchmarks.sh --measure                    measures all records again first: about 20 minutes, on a quiet machine
#   scripts/benchmarks.sh --measure memory peers       only these; --list shows all
#   OUT=folder scripts/benchmarks.sh --measure gate    counts the results of scripts/gate-selftest.sh in that folder;
#                                                      without OUT it runs that test, for hours
#   scripts/benchmarks.sh --rounds 6 --measure memory  six samples of each, enough for an interval
#   scripts/benchmarks.sh --quick --measure            small sizes, to see that it works; the tables mention it
#
# Flags come before the names. PEAL=path measures that binary instead of a new one.
# Needs Go, a C compiler and git. The peers need Debian's nginx, and Debian packages
# and Go modules from the network; the table lists servers that are not available.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-benchmarks.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap : INT TERM # the program ends its children itself; then EXIT cleans up
go build -o "$dir/bench" ./bench/run
case " $* " in
*' --measure '*)
	if [ -z "${PEAL-}" ]; then
		go build -o "$dir/peal" ./cmd/peal
		PEAL=$dir/peal
	fi
	;;
esac
"$dir/bench" documents --peal "${PEAL-}" "$@"
