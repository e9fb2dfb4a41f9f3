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
. scripts/nodes.sh
connections=${1:-100000}
rate=${2:-50000/s burst 100000}
nodes_prepare storm
for ((i = 0; i * 15000 < connections; i++)); do
	node_start $((8111 + i)) --accept-rate "$rate"
done

code=0
load 240 storm --connections "$connections" --rate 0.3 --duration 30s --settle 40s --open-timeout 100s \
	--fail-if 'lost>0' --fail-if 'duplicated>0' --fail-if 'reordered>0' || code=$?
for ((i = 0; i < ${#servers[@]}; i++)); do
	grep -h 'refused' "$dir/$((8111 + i)).log" || true # an honest client was refused: why
done
exit $code
