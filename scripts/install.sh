#!/bin/sh
# Installs Peal on a Linux host from the archive of a release, whose checksum it verifies:
# binary, systemd units, user, configuration, manual, completions. Running it again
# repairs or upgrades. On Debian and Ubuntu, prefer the package (peal_VERSION_ARCH.deb).
#
#   install.sh --from https://example.org/peal/v1.2.3    a folder with peal-linux-ARCH.tar.gz and SHA256SUMS
#   install.sh --from peal-linux-amd64.tar.gz            a file, SHA256SUMS beside it
#   install.sh --uninstall                               leaves data, and a configuration that was changed
#   install.sh --uninstall --purge                       leaves nothing
#
#   --sums FILE|URL   checksums that lie elsewhere
#   --prefix DIR      instead of /usr/local
#   --root DIR        installs into a system that does not run, such as an image
#   --no-start        neither enables nor starts the service
#   --dry-run         prints what it would do and changes nothing
#
# A configuration that was changed is never replaced. Without systemd, everything but the
# start of the service is done.
set -eu

prefix=/usr/local root='' from='' sums='' start=yes dry='' uninstall='' purge=''

fail() { echo "install.sh: $*" >&2; exit 1; }
usage() { echo "install.sh: $*; see the first lines of this file" >&2; exit 2; }

while [ $# -gt 0 ]; do
	case $1 in
	--from | --sums | --prefix | --root)
		[ $# -gt 1 ] || usage "$1 needs a value"
		case $1 in --from) from=$2 ;; --sums) sums=$2 ;; --prefix) prefix=$2 ;; --root) root=${2%/} ;; esac
		shift
		;;
	--no-start) start='' ;;
	--dry-run) dry=yes ;;
	--uninstall) uninstall=yes ;;
	--purge) purge=yes ;;
	*) usage "unknown argument $1" ;;
	esac
	shift
done
case $prefix in /*) ;; *) usage "--prefix $prefix: must be an absolute path" ;; esac
[ -z "$purge" ] || [ -n "$uninstall" ] || usage '--purge needs --uninstall'
[ -n "$uninstall" ] || [ -n "$from" ] || usage '--from FILE or URL is missing'
[ "$(id -u)" = 0 ] || [ -n "$dry" ] || [ -n "$root" ] || fail 'must run as root (--dry-run needs no root)'
[ ! -e "$root/var/lib/dpkg/info/peal.list" ] || [ ! -e "$root/usr/bin/peal" ] ||
	fail 'Peal is installed as a Debian package here: use apt, or remove it first: apt remove peal'

share=$prefix/share/peal # the default configuration, and the list of what was installed
config=/etc/peal/peal.yaml
units=/etc/systemd/system

# run COMMAND...: does it, or prints it with --dry-run.
run() {
	if [ -n "$dry" ]; then echo "would run: $*"; else "$@"; fi
}

# live: the system under root is the one that runs, and systemd runs it.
live() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

# systemctl_offline ARGUMENTS: enable or disable where systemd does not run.
systemctl_offline() {
	command -v systemctl > /dev/null || return 0
	run systemctl ${root:+"--root=$root"} --quiet "$@"
}

# remove PATH: a file of ours, and the folders of ours that it leaves empty.
remove() {
	[ -e "$root$1" ] || [ -L "$root$1" ] || return 0
	run rm -f "$root$1"
	remove_empty "$(dirname "$1")"
}

remove_empty() {
	case $1 in "$share"* | /etc/peal) run rmdir "$root$1" 2> /dev/null || true ;; esac
}

# unchanged_config: the configuration is the one that was installed.
unchanged_config() { cmp -s "$root$config" "$root$share/peal.yaml"; }

remove_user() {
	[ -z "$root" ] || { echo "The user peal of $root stays: remove it there."; return 0; }
	if command -v userdel > /dev/null; then run userdel peal; else run deluser peal; fi
}

if [ -n "$uninstall" ]; then
	[ -e "$root$share/installed" ] || fail "nothing to uninstall: $root$share/installed is missing"
	if live; then
		run systemctl disable --quiet --now peal.socket peal.service
		run systemctl stop 'peal@*.service'
	else
		systemctl_offline disable peal.socket peal.service
	fi
	if [ -n "$purge" ]; then
		run rm -rf "$root/etc/peal" "$root/var/lib/peal" "$root/var/log/peal"
	elif unchanged_config; then
		remove $config
	elif [ -e "$root$config" ]; then
		echo "$root$config was changed and stays"
	fi
	while read -r path; do remove "$path"; done < "$root$share/installed"
	remove "$share/peal.yaml"
	remove "$share/installed"
	! live || run systemctl daemon-reload
	if [ -n "$purge" ]; then
		! grep -q '^peal:' "$root/etc/passwd" || remove_user
		echo 'Peal, its configuration and its data are removed.'
	else
		echo "Peal is removed. Data, if there was any, is still in $root/var/lib/peal and belongs to the user peal; --uninstall --purge deletes both."
	fi
	exit 0
fi

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) fail "there is no build for $(uname -m): build it from the source with Go" ;;
esac
case $from in
*.tar.gz) ;;
*) from=${from%/}/peal-linux-$arch.tar.gz ;;
esac
archive=$(basename "$from")
[ -n "$sums" ] || sums=$(dirname "$from")/SHA256SUMS

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# fetch FILE-OR-URL NAME
fetch() {
	case $1 in
	https://*)
		if command -v curl > /dev/null; then
			curl -fsSL --proto '=https' --retry 3 -o "$work/$2" "$1"
		else
			wget -q -O "$work/$2" "$1"
		fi || fail "cannot download $1"
		;;
	*://*) fail "$1: only https" ;;
	*) cp "$1" "$work/$2" || fail "cannot read $1" ;;
	esac
}

fetch "$from" "$archive"
fetch "$sums" SHA256SUMS
awk -v name="$archive" '$2 == name' "$work/SHA256SUMS" > "$work/sum"
[ "$(wc -l < "$work/sum")" -eq 1 ] || fail "$sums has no checksum of $archive"
(cd "$work" && sha256sum -c --quiet sum) || fail "$archive differs from its checksum in $sums: download both again; nothing was changed"
tar -C "$work" -xzf "$work/$archive"
src=$work/${archive%.tar.gz}
if [ ! -x "$src/peal" ] || [ ! -s "$src/VERSION" ]; then fail "$archive is not an archive of Peal"; fi
version=$(cat "$src/VERSION")

changed=''
: > "$work/installed"

# put FILE PATH MODE: copies it if it differs, in one step, so that a running program
# keeps its file.
put() {
	echo "$2" >> "$work/installed"
	if cmp -s "$1" "$root$2" && [ "$(stat -c %a "$root$2")" = "$3" ]; then return 0; fi
	changed=yes
	place "$@"
}

place() {
	if [ -n "$dry" ]; then echo "would install: $root$2"; return 0; fi
	mkdir -p "$root$(dirname "$2")"
	install -m "$3" "$1" "$root$2.new"
	mv -f "$root$2.new" "$root$2"
	echo "installed $root$2"
}

add_user() {
	! grep -q '^peal:' "$root/etc/passwd" || return 0
	if command -v systemd-sysusers > /dev/null; then
		run systemd-sysusers ${root:+"--root=$root"} "$src/sysusers.conf"
	elif command -v useradd > /dev/null; then
		run useradd ${root:+--prefix "$root"} --system --user-group --home-dir /var/lib/peal --no-create-home --shell /usr/sbin/nologin peal
	else
		run adduser -S -D -H -h /var/lib/peal -s /sbin/nologin peal # BusyBox
	fi
}

umask 022
for unit in peal.service peal.socket peal@.service; do
	sed "s|/usr/bin/peal|$prefix/bin/peal|; s|/usr/share/doc/peal|$share/doc|" "$src/$unit" > "$work/$unit"
	put "$work/$unit" "$units/$unit" 644
done
put "$src/peal" "$prefix/bin/peal" 755
put "$src/tune.sh" "$share/tune.sh" 755
put "$src/install.sh" "$share/install.sh" 755
for page in "$src"/man/*.1; do put "$page" "$prefix/share/man/man1/$(basename "$page")" 644; done
for page in "$src"/doc/*; do put "$page" "$share/doc/$(basename "$page")" 644; done
put "$src/completions/peal" "$prefix/share/bash-completion/completions/peal" 644
put "$src/completions/_peal" "$prefix/share/zsh/site-functions/_peal" 644
put "$src/completions/peal.fish" "$prefix/share/fish/vendor_completions.d/peal.fish" 644

if [ ! -e "$root$config" ] || { unchanged_config && ! cmp -s "$src/peal.yaml" "$root$config"; }; then
	changed=yes
	place "$src/peal.yaml" $config 644
elif ! unchanged_config; then
	echo "kept $root$config, which was changed; the default of this version is $root$share/peal.yaml"
fi
cmp -s "$src/peal.yaml" "$root$share/peal.yaml" || place "$src/peal.yaml" "$share/peal.yaml" 644
if [ -e "$root$share/installed" ]; then # files of another version that this one lacks
	while read -r path; do
		grep -qxF "$path" "$work/installed" || { changed=yes; remove "$path"; }
	done < "$root$share/installed"
fi
cmp -s "$work/installed" "$root$share/installed" || place "$work/installed" "$share/installed" 644
add_user

if [ -n "$start" ]; then
	if live; then
		run systemctl daemon-reload
		run systemctl enable --quiet peal.service
		# A server that runs is upgraded by a reload, which keeps its clients connected.
		if [ -z "$changed" ]; then
			run systemctl start peal.service
		elif [ -n "$dry" ] || ! systemctl --quiet is-active peal.service || ! run systemctl reload peal.service; then
			run systemctl restart peal.service
		fi
	else
		systemctl_offline enable peal.service
		echo 'systemd does not run here: the service starts with the system'
	fi
fi
[ -n "$dry" ] || echo "Peal $version is installed: $root$prefix/bin/peal"
