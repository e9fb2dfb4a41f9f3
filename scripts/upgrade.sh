#!/usr/bin/env bash
# Upgrades a server under load ten times in a row, with 18,000 connections of all transports: raw WebSocket, peal.v1,
# event streams, long polls, the Pusher protocol and Mercure. It prints for each upgrade how long deliveries and
# publishers had to wait, and fails if a connection ended, or a message was lost, repeated, out of order or refused.
#
#   scripts/upgrade.sh                       18,000 connections, ten upgrades, the log in memory: about two minutes on two cores
#   scripts/upgrade.sh --small               600 connections, three upgrades: a quarter of a minute
#   scripts/upgrade.sh --log file            the log in files
#
# The pauses are those of a machine that does nothing else; several upgrades need time between them for clients to catch up.
#
# --connections N, --upgrades N, --rate N (messages a second on each transport) and --duration D set the size; further arguments
# go to peal load. Needs openssl. PEAL=path uses that binary instead of a new one. See docs/loadtest.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/nodes.sh

connections=18000 upgrades=10 rate=20 duration=60s log=memory arguments=()
while [ $# -gt 0 ]; do
	case $1 in
	--small) connections=600 upgrades=3 duration=10s ;;
	--connections) connections=$2; shift ;;
	--upgrades) upgrades=$2; shift ;;
	--rate) rate=$2; shift ;;
	--duration) duration=$2; shift ;;
	--log) log=$2; shift ;;
	*) arguments+=("$1") ;;
	esac
	shift
done
nodes_prepare upgrade
case $log in
memory) ;;
file) log=file:$dir/log ;;
*) echo "upgrade.sh: --log $log: must be memory or file" >&2; exit 2 ;;
esac

secret=0123456789abcdef0123456789abcdef
url64() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
claims=$(printf '{"alg":"HS256","typ":"JWT"}' | url64).$(printf '{"mercure":{"publish":["*"],"subscribe":["*"]}}' | url64)
token=$claims.$(printf '%s' "$claims" | openssl dgst -sha256 -hmac "$secret" -binary | url64)

# The server starts the program at its own path again, with what is there then.
cp "$PEAL" "$dir/server"
start="env PUSHER_APP_ID=1 PUSHER_APP_KEY=key PUSHER_APP_SECRET=$secret $dir/server serve --listen {addr} --admin 127.0.0.1:{admin} --log $log"
start+=" --mercure-publisher-secret $secret --mercure-subscriber-secret $secret --accept-rate '50000/s burst 100000'"
# shellcheck disable=SC2034 # for nodes.sh
targets=(
	--target 'ws://{addr}/ws?channel=raw' --target 'peal+ws://{addr}/ws?channel=json' --target 'sse+http://{addr}/sse?channel=sse'
	--target 'poll+http://{addr}/poll?channel=poll' --target 'pusher+ws://{addr}?channel=pusher&key=key&app=1' --target 'mercure+http://{addr}?channel=mercure'
)
load 280 restart --upgrade --upgrades "$upgrades" --start "$start" --admin '127.0.0.1:{admin}' --secret "$secret" --header "Authorization: Bearer $token" \
	--connections "$connections" --channels 20 --pipeline 8 --rate "$rate" --duration "$duration" --settle 20s --open-timeout 60s "${arguments[@]}"
