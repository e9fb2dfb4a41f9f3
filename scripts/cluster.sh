#!/usr/bin/env bash
# Opens 100,000 connections to eight Peal nodes on this machine, each below 20,000
# descriptors, over one Redis, and publishes messages to all of them through one node. Then it restarts
# all nodes, one after another, under the same load: the subscribers of a node that is away come back to the others
# with their cursor. It checks each delivery.
#
#   scripts/cluster.sh                   about five minutes on two cores
#   scripts/cluster.sh --small           2,000 connections, three nodes: about a minute
#   scripts/cluster.sh --only hold       only the first part; --only restart: only the second
#   scripts/cluster.sh --json FILE       the report of peal load, with --only
#
# --nodes N and --connections N set the size; further arguments go to peal load. Needs redis-server and redis-cli
# (Debian's redis-server), and the ports from 8121 on. The exit code is that of peal load: 0 if every connection
# opened, and every message arrived once and in order. PEAL=path uses that binary instead of a new one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/nodes.sh

nodes=8 connections=100000 only='' rate=0.3 arguments=()
while [ $# -gt 0 ]; do
	case $1 in
	--small) nodes=3 connections=2000 rate=5 ;;
	--nodes) nodes=$2; shift ;;
	--connections) connections=$2; shift ;;
	--only) only=$2; shift ;;
	*) arguments+=("$1") ;;
	esac
	shift
done
case $only in
'' | hold | restart) ;;
*) echo "cluster.sh: --only $only: must be hold or restart" >&2; exit 2 ;;
esac
if [ $((connections / (nodes - 1))) -gt 19000 ]; then
	echo "cluster.sh: with one node away, each of the others would have more than 19,000 connections: set more --nodes" >&2
	exit 2
fi
nodes_prepare cluster

redis=8120
mkdir "$dir/redis"
set -m
redis-server --bind 127.0.0.1 --port "$redis" --dir "$dir/redis" --save '' --appendonly yes --appendfsync everysec > "$dir/redis.log" 2>&1 &
set +m
servers+=($!)
until redis-cli -h 127.0.0.1 -p "$redis" ping > "$dir/ping" 2>&1 && grep -q PONG "$dir/ping"; do
	kill -0 "${servers[0]}" 2>/dev/null || { cat "$dir/redis.log" >&2; exit 1; }
	sleep 0.05
done

# All clients come from this machine, and come back at once.
serve=(--log "redis://127.0.0.1:$redis" --accept-rate '50000/s burst 100000' --drain 5s)
for ((i = 0; i < nodes; i++)); do
	node_start $((8121 + i)) "${serve[@]}"
done

correct=(--fail-if 'lost>0' --fail-if 'duplicated>0' --fail-if 'reordered>0')
code=0
if [ "$only" != restart ]; then
	printf '== %s connections to %s nodes\n' "$connections" "$nodes"
	load 240 fanout --cluster --connections "$connections" --rate "$rate" --duration 20s --settle 60s --open-timeout 120s \
		--fail-if 'errors>0' "${correct[@]}" "${arguments[@]}" || code=$?
fi
if [ "$only" = hold ] || [ $code -ne 0 ]; then
	exit $code
fi

# restart_all restarts each node while the others serve, and lets its clients settle.
restart_all() {
	local i pid port
	for ((i = 0; i < nodes; i++)); do
		pid=${servers[$((i + 1))]} port=$((8121 + i))
		kill "$pid"
		wait "$pid" || echo "cluster.sh: node $i ended with status $?" >&2
		set -m
		"$PEAL" serve --listen "127.0.0.1:$port" "${serve[@]}" > "$dir/$port.log" 2>&1 &
		set +m
		servers[i + 1]=$!
		node_listens $! "$port"
		sleep "$pause"
	done
}

pause=$((connections / 20000 + 2))
length=$((nodes * (pause + 10) + 15))
for ((i = 1; i < ${#targets[@]}; i += 2)); do
	targets[i]+='&format=json' # raw messages have no cursor
done
printf '== restart of all nodes, one after another, with %s connections\n' "$connections"
load $((length + 240)) fanout --cluster --reconnect 100ms..5s --connections "$connections" --rate "$rate" --duration "${length}s" --settle 60s \
	--open-timeout 120s "${correct[@]}" "${arguments[@]}" 2> >(tee "$dir/load.log" >&2) &
loading=$!
until grep -q 'publishing' "$dir/load.log" 2>/dev/null; do
	kill -0 "$loading" 2>/dev/null || break
	sleep 0.1
done
sleep 5 # the first message gives each client a cursor
restart_all
wait "$loading" || code=$?
exit $code
