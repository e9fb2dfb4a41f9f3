#!/usr/bin/env bash
# Runs every fuzz target, two at a time with one processor each: those of parsers that
# read what strangers send for a time, the others for a number of inputs.
#
#   scripts/fuzz.sh        30 s for each parser of the network
#   scripts/fuzz.sh 5m     longer
#
# The commit is the seed, so that a second run tries nearly the same inputs and each
# commit tries others; SEED=N takes another one.
#
# Every target begins with its seeds, with the inputs in testdata/fuzz of its package, and
# with those in Go's cache (go env GOCACHE), where inputs that are interesting stay;
# go clean -fuzzcache forgets them. scripts/fuzz-keep.sh moves a part of them to testdata
# after a long run. An input that fails is written there: commit it with the correction.
set -euo pipefail
cd "$(dirname "$0")/.."
export time=${1:-30s} inputs=50000x
# Heads and bodies, frames, peal.v1, the Pusher protocol and its HTTP API, topics of Mercure, answers to webhooks,
# tokens and keys, cursors and patterns, JSON, event streams, the PROXY protocol, forwarding headers, permessage-deflate, the ClientHello.
export network='^peal/(loop/(frame|deflate|secure|proxied)|server/(httpapi|app|mercure|topic|pusher|pusher/rest|pusher/xhr|wsproto|token|apikey|durable|forwarded|log|ijson|publication|pattern|webhook))$'
seed=${SEED:-$((16#$(git rev-parse --short=8 HEAD 2> /dev/null || echo 0)))}
echo "seed $seed"
export GODEBUG=fuzzseed=$seed
export out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

one() {
	local amount=$inputs log=$out/${1##*/}.$2
	! [[ $1 =~ $network ]] || amount=$time
	for try in 1 2; do
		if GOMAXPROCS=1 go test -run '^$' -fuzz "^$2\$" -fuzztime "$amount" -fuzzminimizetime 100x -parallel 1 "$1" > "$log" 2>&1; then
			echo "$1 $2: $(grep -o 'execs: [0-9]*' "$log" | tail -1 | grep -o '[0-9]*') inputs"
			return
		fi
		# A target that the timer stops during an input may be reported as failed: go.dev/issue/75804.
		grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log" || break
	done
	cat "$log"
	return 1
}
export -f one

for pkg in $(go list ./...); do
	(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true) | sed "s|^|$pkg |"
done | xargs -P 2 -L 1 bash -c 'one "$@"' fuzz
