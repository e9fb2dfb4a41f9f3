#!/bin/sh
# Builds Peal and runs the chaos test: 2,000 clients on all transports leave, return
# on other transports, stall and change channels while publishers publish and the
# server is killed and restarted every few seconds. It prints a summary. The exit code
# is 1 if a message was lost, duplicated or out of order, if a gap was missing or
# false, or if the server closed a connection that its client still used.
# docs/guarantees.md explains what that proves.
#
#   scripts/chaos.sh                          a minute, the log in memory
#   scripts/chaos.sh --length 15s             a short run
#   scripts/chaos.sh --log file               the log in files, which survives restarts; --fsync always or interval
#   scripts/chaos.sh --log file --restore     also restores older copies of the log
#   scripts/chaos.sh --tokens                 clients have tokens that live 2 to 6 s, renew them, and lose them by revocation
#   scripts/chaos.sh --upgrade                upgrades in the place of restarts: no connection may end
#   scripts/chaos.sh --upgrade --log file --kills 50   kills the old or the new process at 50 random moments of upgrades
#   scripts/chaos.sh --tls                    connections are encrypted, and clients resume sessions
#   scripts/chaos.sh --log file --webhooks    webhooks too, whose receivers fail, hang and are killed; also with --log redis
#   scripts/chaos.sh --hostile 20             with 20 hostile clients (loadtest/hostile)
#   scripts/chaos.sh --trace --restart 0      asks the server 10,000 times what became of a message for a client, and compares the answers
#   scripts/chaos.sh --trace --log file       the same, with restarts, at which the record of the trace begins anew
#   scripts/chaos.sh --nodes 3 --log redis    three nodes on one Redis: clients come back on any, and nodes and Redis are killed, stopped and cut off
#   scripts/chaos.sh --nodes 3 --log redis --clients 3000 --length 3m    the full form of that
#   scripts/chaos.sh --nodes 3 --log redis --lose                        Redis also loses its newest entries: each client that lacks one has a gap
#   scripts/chaos.sh --history 3 --rate 250   little history: many gaps
#   scripts/chaos.sh --seed N                 repeats the clients' decisions of an earlier run
#
# --json FILE writes the summary; --help shows all flags. PEAL=path uses that binary
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
