#!/usr/bin/env bash
# Packages the binaries of DIR (peal-linux-ARCH): for each a Debian package,
# peal_VERSION_ARCH.deb, and an archive for scripts/install.sh,
# peal-linux-ARCH.tar.gz, which has a folder with binary, units, configuration, manual
# and completions. The same binaries and the same commit give the same bytes.
# scripts/release.sh calls it.
#
#   scripts/package/build.sh DIR VERSION
#   MAINTAINER='Jo Doe <jo@example.org>' scripts/package/build.sh dist v1.2.3
set -euo pipefail
[ $# -eq 2 ] || { echo 'usage: scripts/package/build.sh DIR VERSION' >&2; exit 2; }
out=$(realpath "$1") version=$2
cd "$(dirname "$0")/../.."

# deb_version VERSION: in the form and the order of Debian. v1.2.3-4-gabc, four commits
# after v1.2.3, is 1.2.3+4.gabc; without a tag it is 0~COUNT.COMMIT.
deb_version() {
	case $1 in
	v[0-9]*) sed 's/^v//; s/-\([0-9]*\)-g\([0-9a-f]*\)/+\1.g\2/; s/-\(dirty\)$/+\1/; s/-/~/g' <<< "$1" ;;
	*) printf '0~%s.%s\n' "$(git rev-list --count HEAD)" "$(tr -c 'a-zA-Z0-9.\n' + <<< "$1")" ;;
	esac
}

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export MAINTAINER=${MAINTAINER:-$(git log -1 --format='%cn <%ce>')}
DEB_VERSION=$(deb_version "$version")
export DEB_VERSION
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

files=$work/files
mkdir -p "$files/doc"
go test ./cmd/peal -count=1 -run '^TestManual$' -args "-manual=$files" > "$work/log" || { cat "$work/log"; exit 1; }
install -m 644 docs/*.md SECURITY.md LICENSE "$files/doc"

# tarball ARCH
tarball() {
	local name=peal-linux-$1
	local dir=$work/tar/$name
	mkdir -p "$dir"
	install -m 755 "$out/$name" "$dir/peal"
	install -m 755 scripts/install.sh scripts/tune.sh "$dir"
	install -m 644 scripts/package/systemd/* scripts/package/peal.yaml "$dir"
	install -m 644 scripts/package/sysusers.conf "$dir/sysusers.conf"
	cp -r "$files/man" "$files/completions" "$files/doc" "$dir"
	echo "$version" > "$dir/VERSION"
	tar -C "$work/tar" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n > "$out/$name.tar.gz"
}

# deb ARCH
deb() {
	local files=$work/deb-$1
	cp -r "$work/files" "$files"
	install -m 755 "$out/peal-linux-$1" "$files/peal"
	gzip -9n "$files"/man/*.1
	rm "$files/doc/LICENSE" # it is the common license that copyright names
	install -m 644 scripts/package/debian/copyright "$files/doc"
	gzip -9nc CHANGELOG.md > "$files/doc/NEWS.md.gz"
	gzip -9n > "$files/doc/changelog.gz" <<-E
		peal ($DEB_VERSION) stable; urgency=medium

		  * Release $version. The changes are in NEWS.md.gz.

		 -- $MAINTAINER  $(date -uRd "@$SOURCE_DATE_EPOCH")
	E
	FILES=$files ARCH=$1 go tool -modfile=scripts/package/go.mod nfpm package \
		--config scripts/package/nfpm.yaml --packager deb --target "$out/peal_${DEB_VERSION}_$1.deb" > /dev/null
}

for binary in "$out"/peal-linux-*; do
	arch=${binary##*/peal-linux-}
	case $arch in *.*) continue ;; esac # its SBOM, its archive
	tarball "$arch"
	deb "$arch"
done
