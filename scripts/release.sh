#!/usr/bin/env bash
# Builds a release into dist/: for each architecture a static binary, its SBOM (SPDX),
# a Debian package, and an archive for scripts/install.sh, which is there, too; and
# SHA256SUMS. The same commit and the same Go version give the same
# bytes; --check builds twice, the second time from an empty cache, and compares.
#
#   scripts/release.sh            version from git: the tag, or commit and distance
#   scripts/release.sh --check    also checks that the build is reproducible
#   VERSION=v1.0.0 ARCH=arm64 scripts/release.sh
#
# scripts/test.sh calls it with --binaries: only the cross build and its sizes.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo development)}

# binaries DIR: peal-linux-ARCH for each architecture.
binaries() {
	local arch
	for arch in ${ARCH:-amd64 arm64}; do
		# -trimpath: no paths of this machine. -s -w: no symbol table and no DWARF;
		# stack traces keep their names and lines. The levels are Go's own defaults.
		CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 \
			go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$1/peal-linux-$arch" ./cmd/peal
		printf '%-20s %5.1f MiB\n' "peal-linux-$arch" "$(awk "BEGIN { print $(wc -c < "$1/peal-linux-$arch") / 1048576 }")"
	done
}

# release DIR: the binaries, their SBOMs, the packages, install.sh and SHA256SUMS.
release() {
	rm -rf "$1"
	mkdir -p "$1"
	binaries "$1"
	local file
	for file in "$1"/peal-linux-*; do
		go run ./scripts/sbom "$file" "$version" > "$file.spdx.json"
	done
	scripts/package/build.sh "$1" "$version"
	cp scripts/install.sh "$1"
	(cd "$1" && sha256sum peal* install.sh > SHA256SUMS)
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
case ${1-} in
--binaries) binaries "$tmp" ;;
--check)
	release dist
	GOCACHE=$tmp/cache release "$tmp/again" > /dev/null
	diff dist/SHA256SUMS "$tmp/again/SHA256SUMS"
	echo 'built twice: identical' ;;
'') release dist ;;
*) echo "usage: scripts/release.sh [--check]" >&2; exit 2 ;;
esac
[ "${1-}" = --binaries ] || { echo "Peal $version in dist/:"; cat dist/SHA256SUMS; }
