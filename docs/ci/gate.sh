#!/bin/sh
# The regression gate in any CI: judges the checkout against BASE (default origin/main).
#
#   docs/ci/gate.sh origin/main [ARGS OF peal-gate]   default ARGS: --set pull-request
#
# It writes gate.md, gate.json and the folder samples, prints gate.md, and ends with the exit
# code of peal-gate: 1 regression, 3 unstable, 4 could not measure (docs/gate.md). It needs
# Go, git and four to six minutes on two cores that do nothing else.
set -eu
base=${1:-origin/main}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- --set pull-request
ulimit -n 20000 || echo "at most $(ulimit -n) descriptors: the benchmarks need 20,000" >&2
# A shallow clone lacks base; its last commit is enough.
git rev-parse --verify --quiet "$base^{commit}" > /dev/null ||
	git fetch --quiet --depth 1 origin "+${base#origin/}:refs/remotes/$base"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/peal-gate" ./cmd/peal-gate # go run would turn every exit code into 1
code=0
"$dir/peal-gate" --base "$base" --json gate.json --markdown gate.md --bench-out samples "$@" || code=$?
[ ! -s gate.md ] || cat gate.md
exit $code
