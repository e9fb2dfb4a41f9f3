#!/usr/bin/env bash
# Tests scripts/govulncheck.sh: with a database that cannot be reached, with one that
# knows no vulnerability, and with one that names a function which scripts/sbom calls.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# First, because the first check has no network: the program and its modules.
go build -modfile=scripts/package/go.mod -o "$work/govulncheck" golang.org/x/vuln/cmd/govulncheck

# check NAME CODE TEXT: the exit code and a part of the output for the database at $db.
check() {
	local code=0
	GOVULNDB=$db scripts/govulncheck.sh ./scripts/sbom > "$work/out" 2>&1 || code=$?
	if [ $code -ne "$2" ] || ! grep -q "$3" "$work/out"; then
		echo "govulncheck.sh, $1: exit $code, want $2 and \"$3\":" >&2
		cat "$work/out" >&2
		exit 1
	fi
}

db=https://vuln.go.dev # through a proxy that does not exist
HTTPS_PROXY=http://127.0.0.1:1 check 'no database' 0 '^skipped: .*cannot be reached'

mkdir -p "$work/db"/{index,ID}
db=file://$work/db
echo '{"modified": "2026-01-01T00:00:00Z"}' > "$work/db/index/db.json"
echo '[]' > "$work/db/index/modules.json"
check 'nothing known' 0 'No vulnerabilities found'

echo '[{"path": "stdlib", "vulns": [{"id": "GO-2026-0001", "modified": "2026-01-01T00:00:00Z"}]}]' > "$work/db/index/modules.json"
cat > "$work/db/ID/GO-2026-0001.json" <<'E2'
{"schema_version": "1.3.1", "id": "GO-2026-0001", "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z",
 "database_specific": {"url": "https://pkg.go.dev/vuln/GO-2026-0001"}, "summary": "a planted vulnerability", "details": "It does not exist.", "affected": [{"package": {"name": "stdlib", "ecosystem": "Go"},
 "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}], "ecosystem_specific": {"imports": [{"path": "debug/buildinfo", "symbols": ["ReadFile"]}]}}]}
E2
check 'a vulnerability' 3 'GO-2026-0001'
echo 'govulncheck.sh finds, passes and skips as it must'
