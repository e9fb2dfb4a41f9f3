#!/usr/bin/env bash
# Keeps a part of what fuzzing has found, as files in testdata/fuzz in the format of Go's
# corpus, with which every go test and every fuzzing begins. Run it after a long
# scripts/fuzz.sh, and commit the files.
#
#   scripts/fuzz-keep.sh                  all targets
#   scripts/fuzz-keep.sh ./loop/frame     those of some packages
#
# Of the inputs in Go's cache (go env GOCACHE) it keeps, the shortest first, those that reach
# code of their package which the seeds and the kept inputs do not reach: at most 40 of a
# target. A target with less than 24 gets others, of all lengths. No file has more than 8 KiB.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$(go env GOCACHE)/fuzz
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# reached PATTERN prints the blocks of the package that the tests reach.
reached() {
	rm -f "$dir/profile"
	"$dir/test" -test.run "$1" -test.coverprofile "$dir/profile" > "$dir/log" 2>&1 || { cat "$dir/log" >&2; return 1; }
	awk '$3 > 0 {print $1}' "$dir/profile" | sort -u
}

# keep TARGET FOUND KEPT copies inputs from the folder FOUND to KEPT.
keep() {
	local input count added=0 rest=()
	reached "^$1\$" > "$dir/before"
	mkdir -p "$3"
	count=$(find "$3" -type f | wc -l)
	while read -r _ input; do
		[ ! -e "$3/$input" ] || continue
		[ "$count" -lt 40 ] || break
		cp "$2/$input" "$3/$input"
		reached "^$1\$/^$input\$" > "$dir/after"
		if [ -n "$(comm -13 "$dir/before" "$dir/after")" ]; then
			sort -u -o "$dir/before" "$dir/before" "$dir/after"
			count=$((count + 1)) added=$((added + 1))
		else
			rm "$3/$input"
			rest+=("$input")
		fi
	done < <(find "$2" -type f -size -9k -printf '%s %f\n' | sort -n)
	local more=$((24 - count))
	[ $more -le ${#rest[@]} ] || more=${#rest[@]}
	for ((i = 0; i < more; i++)); do
		cp "$2/${rest[i * ${#rest[@]} / more]}" "$3/"
		added=$((added + 1))
	done
	rmdir --ignore-fail-on-non-empty "$3"
	echo "$1: $(find "$3" -type f 2> /dev/null | wc -l) kept, $added of them new"
}

[ $# -gt 0 ] || set -- ./...
go list -f '{{.ImportPath}} {{.Dir}}' "$@" > "$dir/packages"
while read -r pkg folder; do
	(grep -ho '^func Fuzz[A-Za-z0-9]*' "$folder"/*_test.go 2> /dev/null || true) | cut -d ' ' -f 2 > "$dir/targets"
	[ -s "$dir/targets" ] || continue
	go test -c -cover -o "$dir/test" "$pkg"
	while read -r target; do
		[ ! -d "$cache/$pkg/$target" ] || (cd "$folder" && keep "$target" "$cache/$pkg/$target" "$folder/testdata/fuzz/$target")
	done < "$dir/targets"
done < "$dir/packages"
