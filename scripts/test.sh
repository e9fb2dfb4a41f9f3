#!/usr/bin/env bash
# All checks of the repository: format, vet, staticcheck, import rules, the
# cross build of both architectures, tests with the race detector, allocation
# tests without it, every fuzz target (scripts/fuzz.sh), and the counted part of the
# regression gate. Needs Go, a C compiler and git. .ci/run installs what the
# end-to-end tests (php-cli, chromium), the browser client (Node 20, npm ci in
# clients/js), the load tests of other servers (loadtest/dialect), server/token
# (npm ci in testdata/jose) and server/endtoend (npm ci in testdata/ws and durable) need, and the
# programs that check the packages (lintian, shellcheck, systemd). Without it these
# tests are skipped, unless PEAL_E2E=require.
#
#   scripts/test.sh              everything
#   FUZZ=5m scripts/test.sh      longer fuzzing (default 30s for each target; 0: none)
set -euo pipefail
cd "$(dirname "$0")/.."
fuzz=${FUZZ:-30s}

step() { printf '\n== %s\n' "$*"; }

step format
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted"; exit 1; }

step vet
go vet ./...

step staticcheck
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

step 'static binaries, both architectures'
scripts/release.sh --binaries

step 'known vulnerabilities'
scripts/package/govulncheck-test.sh
scripts/govulncheck.sh

step 'Debian package'
scripts/package/check.sh

step 'container image'
scripts/package/image.sh

step 'browser client: types, size, unit tests, the copy in the server'
if [ -d clients/js/node_modules ] && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
	npm test --prefix clients/js --silent > /tmp/peal-js.$$ 2>&1 || { cat /tmp/peal-js.$$; rm -f /tmp/peal-js.$$; exit 1; }
	rm -f /tmp/peal-js.$$
else
	echo 'skipped: needs Node 20 and `npm ci` in clients/js'
	[ "${PEAL_E2E:-}" != require ] || exit 1
fi

step 'tests, race detector on'
go test -race -timeout 30m ./...

step 'simulations: the fan-out, the whole server, over TLS, with other protocols, and with upgrades'
go test -count=1 -v -run '^TestSimulation(OverTLS|OfDialects|OfUpgrades)?$' ./loop/fanout ./server/simulation | grep -v '^==='

step 'the loop over TLS'
PEAL_LOOP_TLS=1 go test -count=1 -run 'HalfClose|Drain|Mixed|OverTLS|Reset' ./loop

step 'the loop with io-uring'
PEAL_LOOP_URING=1 go test -count=1 -timeout 15m ./loop

step 'tests of allocations and of planted bugs, race detector off'
go test -count=1 -timeout 30m -run 'Alloc|Planted' ./...

step 'chaos with the real binary, short'
scripts/chaos.sh --length 9s --restart 3s --log file
scripts/chaos.sh --length 6s --restart 3s --history 3 --rate 250
scripts/chaos.sh --length 5s --restart 3s --clients 500 --log file --hostile 20
scripts/chaos.sh --length 8s --restart 3s --log file --tokens
scripts/chaos.sh --length 5s --restart 3s --clients 500 --log file --tls
scripts/chaos.sh --length 5s --restart 1500ms --clients 200 --log file --webhooks
scripts/chaos.sh --length 6s --restart 700ms --clients 300 --log file --restore
scripts/chaos.sh --length 9s --trace --restart 0 --questions 2000
scripts/chaos.sh --length 6s --restart 500ms --clients 300 --upgrade
scripts/chaos.sh --length 12s --restart 500ms --clients 300 --upgrade --log file
if command -v redis-server > /dev/null; then
	scripts/chaos.sh --length 20s --clients 500 --nodes 3 --log redis
else
	echo 'skipped: chaos with several nodes needs redis-server'
	[ "${PEAL_E2E:-}" != require ] || exit 1
fi

step 'benchmarks run at all'
go test -run '^$' -bench . -benchtime 5x ./loop/... ./server/... > /dev/null

if [ "$fuzz" != 0 ]; then
	step "fuzzing, $fuzz for each parser of the network"
	scripts/fuzz.sh "$fuzz"
fi

step 'counted cost of connections and messages, against bench/baseline.json'
gate=$(mktemp -d)
trap 'rm -rf "$gate"' EXIT
go build -o "$gate/peal-gate" ./cmd/peal-gate
counted() { "$gate/peal-gate" --deterministic --only '^(Idle|Fanout|ManyChannels|LogPublish|OpenClose|OwnChannels|Batch|Command)/' --baseline bench/baseline.json 2> "$gate/log" || { code=$?; tail -n 3 "$gate/log"; return $code; }; }
counted || { [ $? -eq 3 ] && counted; } # 3: unstable; once more

printf '\nall checks passed\n'
