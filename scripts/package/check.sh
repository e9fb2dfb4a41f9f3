#!/usr/bin/env bash
# Builds the Debian package, checks what it has (lintian, if it is there), and installs,
# upgrades, removes and purges it in a folder that stands for the root of a host. Needs
# dpkg and systemd's tools; about 20 s of processor time when nothing is in Go's cache.
# Must be root: without it, or without these programs, it is skipped, unless
# PEAL_E2E=require. scripts/test.sh calls it.
#
#   scripts/package/check.sh
#   ARCH=arm64 scripts/package/check.sh    checks what that package has; does not install it
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=${ARCH:-$(go env GOARCH)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
	echo "skipped: $*"
	[ "${PEAL_E2E:-}" != require ] || exit 1
	exit 0
}
fail() { echo "check.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || skip 'needs root, as dpkg does'
for program in dpkg-deb deb-systemd-helper systemd-sysusers; do
	command -v $program > /dev/null || skip "needs $program"
done

mkdir "$work/dist"
CGO_ENABLED=0 GOARCH=$arch go build -trimpath -ldflags "-s -w -X main.version=v0.0.1" -o "$work/dist/peal-linux-$arch" ./cmd/peal
scripts/package/build.sh "$work/dist" v0.0.1
deb=$work/dist/peal_0.0.1_$arch.deb

[ "$(dpkg-deb -f "$deb" Architecture)" = "$arch" ] || fail "the architecture is not $arch"
dpkg-deb -c "$deb" > "$work/contents"
for path in /usr/bin/peal /etc/peal/peal.yaml /usr/lib/systemd/system/peal.service /usr/lib/systemd/system/peal.socket /usr/lib/systemd/system/peal@.service /usr/lib/sysusers.d/peal.conf \
	/usr/share/man/man1/peal-serve.1.gz /usr/share/bash-completion/completions/peal /usr/share/doc/peal/copyright /usr/share/doc/peal/deploy.md; do
	grep -q " root/root .* \.$path\$" "$work/contents" || fail "the package lacks $path"
done
[ "$(dpkg-deb -I "$deb" conffiles)" = /etc/peal/peal.yaml ] || fail 'the configuration is not the only conffile'
if command -v lintian > /dev/null; then
	lintian --display-info --fail-on info,warning,error "$deb" 2> "$work/err" || { cat "$work/err"; fail 'lintian has complaints'; }
else
	echo 'lintian is not installed: not run'
	[ "${PEAL_E2E:-}" != require ] || exit 1
fi
[ "$arch" = "$(dpkg --print-architecture)" ] || { echo 'the package is right'; exit 0; }

# The scripts of the package run outside the folder, with DPKG_ROOT: it has no shell.
root=$work/root
mkdir -p "$root"/var/lib/dpkg/{info,updates} "$root/etc"
touch "$root/var/lib/dpkg/status"
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
on_root() { dpkg --root="$root" --force-script-chrootless --force-depends --force-confdef --force-confold --log=/dev/null "$@" > "$work/log" 2>&1 || { cat "$work/log"; fail "dpkg $*"; }; }
enabled() { [ -L "$root/etc/systemd/system/multi-user.target.wants/$1" ] || [ -L "$root/etc/systemd/system/sockets.target.wants/$1" ]; }

on_root -i "$deb"
[ "$("$root/usr/bin/peal" version | cut -d' ' -f1-2)" = 'peal v0.0.1' ] || fail 'the installed program has another version'
grep -q '^peal:x:.*:/var/lib/peal:/usr/sbin/nologin$' "$root/etc/passwd" || fail 'there is no user peal'
enabled peal.service || fail 'the service is not enabled'
! enabled peal.socket || fail 'the socket is enabled'

echo 'drain: 3s' > "$root/etc/peal/peal.yaml"
mkdir -p "$root/var/lib/peal/log"
touch "$root/etc/peal/token.secret" "$root/var/lib/peal/log/1.log"
rm "$root/etc/systemd/system/multi-user.target.wants/peal.service" # systemctl disable
on_root -i "$deb"
[ "$(cat "$root/etc/peal/peal.yaml")" = 'drain: 3s' ] || fail 'an upgrade replaces a changed configuration'
! enabled peal.service || fail 'an upgrade enables a service that was disabled'

on_root -r peal
[ ! -e "$root/usr/bin/peal" ] || fail 'the program is still there after remove'
for path in etc/peal/peal.yaml var/lib/peal/log/1.log; do [ -e "$root/$path" ] || fail "remove deletes /$path"; done
on_root -P peal
on_root -P peal # nothing is left to do
left=$(cd "$root" && find . \( -type f -o -type l \) ! -path './var/lib/dpkg/*' ! -path './etc/*-' ! -name .pwd.lock | sort | tr '\n' ' ')
[ "$left" = './etc/group ./etc/gshadow ./etc/passwd ./etc/peal/token.secret ./etc/shadow ' ] || fail "after purge there is: $left"
echo 'the package is right'
