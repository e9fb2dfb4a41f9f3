#!/usr/bin/env bash
# Opens 100,000 connections to seven Peal processes on this machine, each below
# 20,000 descriptors, sends a few messages to all of them, and checks each delivery.
# It takes about a minute on two cores, is stopped after 3, and needs the ports 8101
# to 8107.
#
#   scripts/hundred-thousand.sh         subscribers are raw epoll, 0.1 GB
#   scripts/hundred-thousand.sh --gws   subscribers are lxzan/gws, an independent client, 0.6 GB
#
# Arguments go to peal load: --json FILE, --html FILE, --connections 50000 … The
# exit code is that of peal load: 0 if every connection opened and every message
# arrived once and in order. PEAL=path uses that binary instead of a new one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/nodes.sh
nodes_prepare hundred
for port in 8101 8102 8103 8104 8105 8106 8107; do
	node_start "$port"
done

# Each message means 100,000 deliveries, a second of both cores. 0.3 per second leaves
# time for them to finish before the next message.
began=$SECONDS code=0
load 180 fanout --connections 100000 --rate 0.3 --duration 20s --settle 30s --open-timeout 100s \
	--fail-if 'errors>0' --fail-if 'lost>0' --fail-if 'duplicated>0' --fail-if 'reordered>0' "$@" || code=$?
printf '\n%s\n' "$((SECONDS - began)) s in all, opening and closing included"
exit $code
