#!/usr/bin/env bash
# Builds the image of the Dockerfile, starts it, and requires that it is healthy, runs
# without privileges and ends at docker stop. Skipped, with the reason, without an engine
# (docker or podman) or the base image.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "skipped: $*"; exit 0; }
fail() { echo "image.sh: $*" >&2; exit 1; }

engine=''
for program in docker podman; do
	if command -v $program > /dev/null && timeout 10 $program info > /dev/null 2>&1; then engine=$program; break; fi
done
[ -n "$engine" ] || skip 'no container engine runs here (docker, podman)'
base=$(sed -n 's/^FROM .*\(golang:[^ ]*\) AS build$/\1/p' Dockerfile)
$engine image inspect "$base" > /dev/null 2>&1 || timeout 300 $engine pull -q "$base" > /dev/null 2>&1 || skip "the base image $base cannot be had here"

name=peal-image-test-$$
cleanup() {
	$engine rm -f "$name" > /dev/null 2>&1 || true # it may not have started
	$engine rmi "$name" > /dev/null 2>&1 || true
}
trap cleanup EXIT
$engine build -q -t "$name" --build-arg VERSION=v0.0.1 . > /dev/null
$engine run -d --name "$name" --read-only --cap-drop ALL --security-opt no-new-privileges "$name" > /dev/null
healthy=''
for _ in $(seq 100); do
	if $engine exec "$name" /peal health > /dev/null 2>&1; then healthy=yes; break; fi
	sleep 0.2
done
[ -n "$healthy" ] || { $engine logs "$name"; fail 'the server is not healthy'; }
[ "$($engine inspect -f '{{.Config.User}}' "$name")" = 65532:65532 ] || fail 'it does not run as user 65532'
case $($engine exec "$name" /peal version) in 'peal v0.0.1 '*) ;; *) fail 'the version of the build argument is missing' ;; esac
$engine stop -t 30 "$name" > /dev/null
[ "$($engine inspect -f '{{.State.ExitCode}}' "$name")" = 0 ] || fail 'docker stop does not end it in good order'
echo 'the image is right'
