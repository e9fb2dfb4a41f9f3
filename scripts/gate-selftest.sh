#!/usr/bin/env bash
# Tests the regression gate on this machine: how often it raises a false alarm,
# and how often it finds a planted regression.
#
#   scripts/gate-selftest.sh aa [N]               N runs of HEAD against itself (default 20)
#   scripts/gate-selftest.sh planted [N] [NAME…]  N runs (default 10) with each plant: allocation, copy,
#                                                 send (found by counted figures), cpu=NS (by noisy ones):
#                                                 NS should be a tenth of the cost of a delivery, default 500
#
# ARGS is passed on to peal-gate: ARGS="--only ^Fanout --pairs 20". OUT=folder
# keeps the results. The test works on a clone of HEAD, so commit first. A run takes
# minutes; an interrupted test prints its results so far.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-}
[ $# -gt 0 ] && shift
case $what in
aa) n=${1:-20} ;;
planted) n=${1:-10} ;;
*) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
[ $# -gt 0 ] && shift
read -ra args <<< "${ARGS:-}"

dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-gate-selftest.XXXXXX")
out=${OUT:-$dir/out}
mkdir -p "$out"
trap 'rm -rf "$dir"' EXIT
trap 'stopped=1' INT TERM # the gate ends its children itself
stopped=
git clone --quiet --shared . "$dir/clone"
(cd "$dir/clone" && go build -o "$dir/peal-gate" ./cmd/peal-gate)

# once FILE ARGS… is one run; a failure is a result.
once() {
	local file=$1 code=0
	shift
	"$dir/peal-gate" --repository "$dir/clone" --base HEAD --json "$file" --markdown '' "${args[@]}" "$@" 2> "$file.log" || code=$?
	printf '%s: exit %d\n' "$(basename "$file" .json)" "$code" >&2
	[ -s "$file" ] || tail -n 3 "$file.log" >&2
}

if [ "$what" = aa ]; then
	for i in $(seq "$n"); do
		[ -z "$stopped" ] && once "$out/aa-$(printf %02d "$i").json"
	done
	"$dir/peal-gate" tally "$out"/aa-*.json
	exit
fi

[ $# -gt 0 ] || set -- allocation copy send cpu
for plant; do
	exact=--deterministic
	[[ $plant == cpu* ]] && exact=
	for i in $(seq "$n"); do
		[ -z "$stopped" ] && once "$out/$plant-$(printf %02d "$i").json" --plant "$plant" $exact
	done
	printf '\nplanted %s\n' "$plant"
	"$dir/peal-gate" tally "$out/$plant"-*.json
done
