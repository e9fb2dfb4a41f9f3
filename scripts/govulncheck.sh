#!/usr/bin/env bash
# Searches for known vulnerabilities in the code that the commands reach, with Go's
# govulncheck. Fails if there is one. If the database (vuln.go.dev, or GOVULNDB) cannot
# be reached, it is skipped with the reason.
#
#   scripts/govulncheck.sh              ./cmd/...
#   GOVULNDB=file:///srv/vulndb scripts/govulncheck.sh
set -euo pipefail
cd "$(dirname "$0")/.."
db=${GOVULNDB:-https://vuln.go.dev}
tool=(go tool -modfile=scripts/package/go.mod govulncheck -db "$db")

out=$("${tool[@]}" "${@:-./cmd/...}" 2>&1) && { echo "$out"; exit 0; } || code=$?
case $out in
*'fetching vulnerabilities: '*) # before any analysis: the fault is the way to the database
	echo "skipped: the database of vulnerabilities cannot be reached:"
	sed -n 's/.*fetching vulnerabilities: /  /p' <<< "$out"
	;;
*)
	echo "$out"
	exit "$code"
	;;
esac
