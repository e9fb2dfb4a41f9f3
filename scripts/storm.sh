#!/usr/bin/env bash
# All clients lose their connections at once and come back at once. Prints how long it takes
# until each is served again, and fails if one is not, or misses a message.
#
#   scripts/storm.sh                     100,000 clients of seven Peal processes, each below 20,000 descriptors
#   scripts/storm.sh 15000               15,000 clients of one
#   scripts/storm.sh 15000 2000/s        the same with --accept-rate "2000/s": new connections wait in the backlog
#
# Needs the ports 8111 to 8117, and about a minute on two cores; it is stopped after 4. PEAL=path uses that
# binary instead of a new one. See docs/limits.md.
set -euo pipefail
cd "$(dirname "$0")/.."
connections=${1:-100000}
rate=${2:-50000/s burst 100000}
ulimit -n 20000 # for each process; an error here means that the hard limit is lower
dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-storm.XXXXXX")
servers=()
cleanup() {
	kill "${servers[@]}" 2>/dev/null || true # one may have ended by itself
	wait
	rm -rf "$dir"
}
trap cleanup EXIT
trap : INT TERM # peal load ends early, with a report; then EXIT cleans up

if [ -z "${PEAL-}" ]; then
	go build -o "$dir/peal" ./cmd/peal
	PEAL=$dir/peal
fi
targets=()
set -m # process groups of their own: Ctrl-C is for the load test
for ((i = 0; i * 15000 < connections; i++)); do
	port=$((8111 + i))
	"$PEAL" serve --listen "127.0.0.1:$port" --accept-rate "$rate" > "$dir/$port.log" 2>&1 &
	servers+=($!)
	until grep -q 'listens on' "$dir/$port.log"; do
		kill -0 $! 2>/dev/null || { cat "$dir/$port.log" >&2; exit 1; }
		sleep 0.05
	done
	targets+=(--target "ws://127.0.0.1:$port/ws?channel=bench")
done
set +m

code=0
timeout --foreground --signal INT --kill-after 20 240 "$PEAL" load storm --connections "$connections" "${targets[@]}" \
	--rate 0.3 --duration 30s --settle 40s --open-timeout 100s \
	--fail-if 'lost>0' --fail-if 'duplicated>0' --fail-if 'reordered>0' || code=$?
for ((i = 0; i < ${#servers[@]}; i++)); do
	grep -h 'refused' "$dir/$((8111 + i)).log" || true # an honest client was refused: why
done
exit $code
