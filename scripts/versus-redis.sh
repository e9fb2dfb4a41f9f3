#!/usr/bin/env bash
# Two nodes of Peal, and then two of Centrifugo 6, on one Redis each, under the same loads: messages to
# 1,000 subscribers, as many messages as they take, and what is lost when Redis, or one node, is killed (SIGKILL) and
# started again a second later. Redis syncs its file each second. Prints the lines of peal load that matter.
#
#   scripts/versus-redis.sh                  both
#   scripts/versus-redis.sh peal             only one: peal or centrifugo
#
# Needs redis-server, redis-cli and the ports 8140 to 8142; Centrifugo is built from its module. PEAL=path uses that
# binary instead of a new one, CENTRIFUGO=path that one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/nodes.sh
nodes_prepare versus

# start NAME COMMAND… starts a process, whose output is in the folder.
declare -A process
start() {
	local name=$1
	shift
	set -m
	"$@" > "$dir/$name.log" 2>&1 &
	set +m
	process[$name]=$!
	servers+=($!)
}

start_redis() {
	mkdir -p "$dir/data"
	start redis redis-server --bind 127.0.0.1 --port 8140 --dir "$dir/data" --save '' --appendonly yes --appendfsync everysec
	until redis-cli -h 127.0.0.1 -p 8140 ping 2>&1 | grep -q PONG; do sleep 0.05; done
}

start_node() {
	if [ "$server" = peal ]; then
		start "$1" "$PEAL" serve --listen "127.0.0.1:$1" --log redis://127.0.0.1:8140
	else
		start "$1" env "CENTRIFUGO_HTTP_SERVER_PORT=$1" "$CENTRIFUGO" -c bench/catalogue/centrifugo-redis.json
	fi
	until (: < "/dev/tcp/127.0.0.1/$1") 2> "$dir/probe"; do sleep 0.05; done
}

# again NAME COMMAND… kills a process in a while, and starts it again.
again() {
	sleep 5
	kill -9 "${process[$1]}"
	wait "${process[$1]}" 2> "$dir/killed" || true
	sleep 1
	"${@:2}"
}

shown='^(connections|reconnects|messages|deliveries|latency|server|  +[0-9]+ lost|INVALID)'
run() {
	printf -- '-- %s: %s\n' "$server" "$1"
	shift
	load 120 fanout --cluster --header 'X-API-Key: secret' --idle 0 --settle 20s "$@" > "$dir/load.log" 2>&1 || true # the report says why
	grep -E "$shown" "$dir/load.log" || cat "$dir/load.log"
}

for server in ${1-peal centrifugo}; do
	if [ "$server" = centrifugo ] && [ -z "${CENTRIFUGO-}" ]; then
		bench/catalogue/servers.sh centrifugo build "$dir"
		CENTRIFUGO=$dir/centrifugo
	fi
	targets=()
	for port in 8141 8142; do
		case $server in
		peal) targets+=(--target "ws://127.0.0.1:$port/ws?channel=bench&format=json") ;;
		centrifugo) targets+=(--target "centrifugo+ws://127.0.0.1:$port?channel=bench") ;;
		*) echo "versus-redis.sh: $server: must be peal or centrifugo" >&2; exit 2 ;;
		esac
	done
	start_redis
	start_node 8141
	start_node 8142
	run '20 messages per second to 1,000' --connections 1000 --rate 20 --duration 10s
	run 'as many messages as they take, to 2' --connections 2 --rate 20000 --duration 5s --publishers 32
	run 'Redis is killed' --connections 1000 --reconnect 100ms..2s --rate 20 --duration 15s &
	loading=$!
	again redis start_redis
	wait "$loading"
	run 'the node without the publisher is killed' --connections 1000 --reconnect 100ms..2s --rate 20 --duration 15s &
	loading=$!
	again 8142 start_node 8142
	wait "$loading"
	for name in 8141 8142 redis; do
		kill "${process[$name]}"
		wait "${process[$name]}" || true
	done
	rm -rf "$dir/data"
done
