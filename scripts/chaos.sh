#!/bin/sh
# Builds Peal and lets chaos reign over it: 2,000 clients of all transports
# leave, return elsewhere, stall and change channels while publishers publish and
# the server is killed and started again every few seconds. Prints what came of
# it; exit code 1 when a message was lost, repeated or out of order, or a gap was
# hidden or invented, or when the server ended a connection that its client
# wanted while it was serving. docs/guarantees.md says what that proves.
#
#   scripts/chaos.sh                          a minute, the log in memory
#   scripts/chaos.sh --length 15s             the short form
#   scripts/chaos.sh --log file               a log in files that survives; --fsync always or interval
#   scripts/chaos.sh --log file --restore     older copies of the log are put back
#   scripts/chaos.sh --hostile 20             beside 20 hostile clients (loadtest/hostile)
#   scripts/chaos.sh --history 3 --rate 250   little is retained: many gaps
#   scripts/chaos.sh --seed N                 the clients' decisions of an earlier run
#
# --json FILE keeps the summary; --help shows all. PEAL=path takes that binary
# instead of a new one.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-chaos.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap : INT TERM # the run ends its server itself; then EXIT cleans up
go build -o "$dir/chaos" ./loadtest/chaos/run
if [ -z "${PEAL-}" ]; then
	go build -o "$dir/peal" ./cmd/peal
	PEAL=$dir/peal
fi
"$dir/chaos" --peal "$PEAL" "$@"
