#!/usr/bin/env bash
# Tests the regression gate on this machine: how often it raises a false alarm, and
# whether it finds what is planted in head (bench/gate/plants.yaml, go build -overlay).
#
#   scripts/gate-selftest.sh --aa 40        HEAD against itself, 40 times
#   scripts/gate-selftest.sh --plants 10    each plant 10 times
#   scripts/gate-selftest.sh --disarm       a loosened limit, a vanished benchmark, an empty base: each must be refused
#
# All of them may be given together. --only REGEXP limits --aa to some benchmarks of the
# set pull-request; --list 'tail cpu=500' names the plants. The test works on a clone of
# HEAD, so commit first. Nothing else may run meanwhile. An interrupted test prints the
# table so far.
#
# OUT=folder keeps the results. The same command with the same folder goes on where the
# last one was interrupted: it keeps each run whose result is there, and makes the others.
# The runs of a series can so be spread over several quiet hours. All of them must be of
# one commit with the same arguments, which the folder remembers.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
aa=0 plants=0 disarm='' only='' list='allocation syscall syscall-publication allocation-connection syscall-connection connection log encode tls-record tls-connection cpu tail accept tls'
[ $# -gt 0 ] || usage
while [ $# -gt 0 ]; do
	case $1 in
	--disarm) disarm=1; shift; continue ;;
	--aa | --plants) [[ ${2:-} =~ ^[0-9]+$ ]] || usage; declare "${1#--}=$2" ;;
	--only | --list) [ $# -gt 1 ] || usage; declare "${1#--}=$2" ;;
	*) usage ;;
	esac
	shift 2
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-gate-selftest.XXXXXX")
out=${OUT:-$dir/out}
mkdir -p "$out"
trap 'rm -rf "$dir"' EXIT
head=$(git rev-parse HEAD)
[ "$(cat "$out/commit" 2> /dev/null || echo "$head")" = "$head" ] || {
	echo "$out has results of commit $(cat "$out/commit"), and HEAD is $head: name another folder in OUT, or check out that commit" >&2
	exit 2
}
echo "$head" > "$out/commit"
stopped=''
trap 'stopped=1' INT TERM # the gate ends its children itself
git clone --quiet --shared . "$dir/clone"
(cd "$dir/clone" && go build -o "$dir/gate" ./cmd/peal-gate && go build -o "$dir/peal" ./cmd/peal && go build -o "$dir/bench" ./bench/run)

# once NAME ARGS… is one run of the gate, whose exit code is kept in NAME.exit: its last
# file, so a run that was interrupted has none and is made again.
once() {
	local file=$out/$1 code=0
	shift
	if [ -e "$file.exit" ]; then
		[ "$(cat "$file.args")" = "$*" ] || {
			printf '%s was made with the arguments %s, not %s: name another folder in OUT\n' "$file" "$(cat "$file.args")" "$*" >&2
			exit 2
		}
		printf '%s: exit %d, kept\n' "$(basename "$file")" "$(cat "$file.exit")" >&2
		return
	fi
	echo "$*" > "$file.args"
	"$dir/gate" --repository "$dir/clone" --json "$file.json" --markdown "$file.md" "$@" 2> "$file.log" || code=$?
	if [ -n "$stopped" ] && [ "$code" = 4 ]; then
		rm -f "$file".*
		return
	fi
	echo "$code" > "$file.exit"
	printf '%s: exit %d, %d s\n' "$(basename "$file")" "$code" $((SECONDS - began)) >&2
	began=$SECONDS
}

# row WHAT NAME adds a row to the table: the exit codes of all runs NAME-….
row() {
	local codes n
	codes=$(cat "$out/$2"-[0-9]*.exit)
	n() { grep -cx "$1" <<< "$codes" || true; }
	printf '| %s | %d | %d | %d | %d | %d |\n' "$1" "$(wc -l <<< "$codes")" "$(n 1)" "$(n 0)" "$(n 3)" "$(grep -cvx '[013]' <<< "$codes" || true)" >> "$dir/table"
}

# series NAME N WHAT ARGS… is N runs, and their row.
series() {
	local name=$1 n=$2 what=$3 i
	shift 3
	for ((i = 1; i <= n; i++)); do
		[ -n "$stopped" ] || once "$name-$(printf %02d "$i")" --base HEAD --set pull-request "$@"
	done
	ls "$out/$name"-[0-9]*.exit > /dev/null 2>&1 && row "$what" "$name"
	return 0
}

# plant NAME SHARE BENCHMARK UNIT is the plant that adds this share of the cost, the median
# of five samples. It is measured once.
plant() {
	[ -s "$out/$1.plant" ] || "$dir/bench" --peal "$dir/peal" --gate-sizes --count 5 "--macro=$3" 2>> "$out/cost.log" |
		awk -v unit="$4" '{ for (i = 2; i <= NF; i++) if ($i == unit) print $(i - 1) }' | sort -g |
		awk -v plant="$1" -v share="$2" '{ v[NR] = $1 } END { if (NR == 5) printf "%s=%.0f\n", plant, v[3] * share }' > "$out/$1.plant"
	cat "$out/$1.plant"
}

began=$SECONDS
printf '| Runs | Number | Regression (1) | Pass (0) | Unstable (3) | Other |\n| --- | ---: | ---: | ---: | ---: | ---: |\n' > "$dir/table"
fanout='^Fanout/subscribers=1000/inflight=1$' secured='^Fanout/transport=wss/'
[ "$aa" = 0 ] || series aa "$aa" 'a commit against itself' --only "$only"
[ "$plants" = 0 ] && list=''
for plant in $list; do
	name=${plant%%=*} see=$fanout exact=--deterministic
	case $plant in
	connection) see='^Idle/transport=websocket$' ;;
	tls-connection) see='^Idle/transport=wss$' ;;
	log | encode) see=^LogPublish/ ;;
	tls-record) see=$secured ;;
	tail) see="$fanout|^OpenLoop/" exact='' ;;
	cpu) plant=$(plant cpu 0.1 "$fanout" cpu-ns/delivery) ;;
	accept) plant=$(plant accept 0.2 ^Accept/c cpu-ns/connection) ;;
	tls) plant=$(plant tls 0.1 "$secured" cpu-ns/delivery) ;;
	esac
	case $plant in
	*=*) exact='' ;;&
	accept=*) see=^Accept/c ;;
	tls=*) see=$secured ;;
	esac
	# shellcheck disable=SC2086 # exact is a flag or nothing
	series "$name" "$plants" "planted: $plant" --only "$see" --plant "$plant" $exact
done

# refused NAME WHAT ARGS… is a run that must not pass.
refused() {
	local name=$1 what=$2
	shift 2
	once "$name-1" "$@"
	row "$what" "$name"
}
if [ -n "$disarm" ] && [ -z "$stopped" ]; then
	sed -i 's|^  - {unit: allocs/delivery, kind: exact.*|  - {unit: allocs/delivery, kind: exact, margin: 9}|' "$dir/clone/bench/gate.yaml"
	refused loosened 'a limit loosened beside an allocation per delivery' --base HEAD --only "$fanout" --plant allocation --deterministic
	git -C "$dir/clone" checkout --quiet .
	sed -i '/publishMacro("Publish"/d' "$dir/clone/bench/macros.go"
	(cd "$dir/clone" && go build -o "$dir/gate" ./cmd/peal-gate)
	refused vanished 'a benchmark that vanished' --base HEAD --only '^(Publish|Accept)/' --deterministic
	git -C "$dir/clone" checkout --quiet .
	(cd "$dir/clone" && go build -o "$dir/gate" ./cmd/peal-gate)
	echo '{"schema": 2, "environment": {}, "base": {}, "head": {}, "figures": []}' > "$dir/empty.json"
	refused empty 'an empty base' --baseline "$dir/empty.json" --only "$fanout" --deterministic
fi

cat "$dir/table"
for kind in aa $list; do
	ls "$out/${kind%%=*}"-[0-9]*.json > /dev/null 2>&1 || continue
	printf '\n%s: ' "$kind"
	"$dir/gate" tally "$out/${kind%%=*}"-[0-9]*.json
done
