# shellcheck shell=bash
# Functions of the scripts that start several Peal processes on this machine, each below
# 20,000 descriptors. To be sourced, from the root of the repository.
#
#   nodes_prepare NAME          a folder in $dir that is deleted at the end, the limit of descriptors, and the
#                               binary in $PEAL, a new one unless PEAL is set
#   node_start PORT [ARGUMENT]…  starts 'peal serve' on the port, and waits until it listens; adds its process to
#                               ${servers[@]}, and to ${targets[@]} the flag for peal load
#   load SECONDS ARGUMENT…      runs peal load with the targets, and stops it after so many seconds
#
# At the end of the script all processes in ${servers[@]} end. After Ctrl-C, peal load ends early, with a report.

servers=()
targets=()

nodes_prepare() {
	ulimit -n 20000 # for each process; an error here means that the hard limit is lower
	dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-$1.XXXXXX")
	trap nodes_end EXIT
	trap : INT TERM
	if [ -z "${PEAL-}" ]; then
		go build -o "$dir/peal" ./cmd/peal
		PEAL=$dir/peal
	fi
}

nodes_end() {
	[ "$BASHPID" = $$ ] || return 0 # a function in the background inherits the trap
	kill "${servers[@]}" 2>/dev/null || true # one may have ended by itself
	wait
	rm -rf "$dir"
}

node_start() {
	local port=$1
	shift
	set -m # a process group of its own: Ctrl-C is for the load test
	"$PEAL" serve --listen "127.0.0.1:$port" "$@" > "$dir/$port.log" 2>&1 &
	set +m
	servers+=($!)
	targets+=(--target "ws://127.0.0.1:$port/ws?channel=bench")
	node_listens $! "$port"
}

# node_listens PROCESS PORT waits until the process logs that it listens.
node_listens() {
	until grep -q 'listens on' "$dir/$2.log"; do
		kill -0 "$1" 2>/dev/null || { cat "$dir/$2.log" >&2; exit 1; }
		sleep 0.05
	done
}

load() {
	local seconds=$1
	shift
	timeout --foreground --signal INT --kill-after 20 "$seconds" "$PEAL" load "$1" "${targets[@]}" "${@:2}"
}
