#!/bin/sh
# Makes the tables of BENCHMARKS.md and docs/transports.md anew from the raw
# records in bench/results.
#
#   scripts/benchmarks.sh                              only that
#   scripts/benchmarks.sh --check                      writes nothing; exit code 1 and a diff when they differ
#   scripts/benchmarks.sh --measure                    takes all records again first: about 20 minutes, on a quiet machine
#   scripts/benchmarks.sh --measure memory peers       only these; --list shows all
#   OUT=folder scripts/benchmarks.sh --measure gate    counts what scripts/gate-selftest.sh kept there; without
#                                                      OUT it runs that, for hours
#   scripts/benchmarks.sh --rounds 6 --measure memory  six samples of each, enough for an interval
#   scripts/benchmarks.sh --quick --measure            small sizes, to see that it works: the tables say so
#
# Flags come before --measure's names. PEAL=path measures that binary instead of a
# new one. Needs Go, a C compiler and git; for the peers nginx of Debian, and its
# packages and Go's modules from the network: what is not to be had is left out,
# and the table says so.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-benchmarks.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap : INT TERM # the command ends its children itself; then EXIT cleans up
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
