#!/usr/bin/env bash
# Tries docs/deploy.md in a clean Debian: makes one with debootstrap, boots its systemd in
# namespaces of its own (no network but loopback), and runs the commands of the document
# there: from nothing to HTTPS, reload, watchdog, restart with socket activation,
# upgrade, rollback, backup, restore, purge, install.sh. Needs root, debootstrap, util-linux
# and Debian packages from the network; minutes the first time, about one after that.
#
#   scripts/package/try-debian.sh                 Debian 12
#   SUITE=trixie scripts/package/try-debian.sh
#   BASE=/srv/debian12 scripts/package/try-debian.sh    keeps the clean Debian there and uses it again
#
# The certificate comes from an authority that the script makes, because none of the
# public ones can reach this machine: tls-cert stands in place of acme.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo 'try-debian.sh: must run as root' >&2; exit 1; }
suite=${SUITE:-bookworm}
work=$(mktemp -d)
base=${BASE:-$work/base}
init='' cgroup=''

cleanup() {
	[ -z "$init" ] || kill -9 "$init" 2> /dev/null || true # the first process of its PID namespace: all others end with it
	wait
	[ -z "$cgroup" ] || for _ in 1 2 3 4 5 6 7 8 9 10; do
		find "$cgroup" -depth -type d -exec rmdir {} + 2> /dev/null && break
		sleep 0.2
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

step() { printf '\n== %s\n' "$*"; }

step "a clean Debian ($suite)"
if [ ! -e "$base/etc/debian_version" ]; then
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,curl,openssl "$suite" "$base.new" \
		"${MIRROR:-http://deb.debian.org/debian}" > "$work/debootstrap.log" 2>&1 || { tail "$work/debootstrap.log"; exit 1; }
	mv "$base.new" "$base"
fi
echo "Debian $(cat "$base/etc/debian_version")"

step 'two releases: v0.0.1 and v0.0.2'
trial=$work/trial
for version in v0.0.1 v0.0.2; do
	mkdir -p "$trial/$version"
	arch=$(go env GOARCH)
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$trial/$version/peal-linux-$arch" ./cmd/peal
	scripts/package/build.sh "$trial/$version" "$version"
	cp scripts/install.sh "$trial/$version"
	(cd "$trial/$version" && sha256sum peal* install.sh > SHA256SUMS)
	ls "$trial/$version"
done
cp docs/deploy.md scripts/package/try-debian-inside.sh scripts/tune.sh "$trial"
mkdir "$trial/ca"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj '/CN=Authority of the trial' -keyout "$trial/ca/ca.key" -out "$trial/ca/ca.crt" 2> "$work/openssl.log"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=push.example.org' -keyout "$trial/ca/push.key" -out "$work/push.csr" 2>> "$work/openssl.log"
openssl x509 -req -in "$work/push.csr" -days 90 -CA "$trial/ca/ca.crt" -CAkey "$trial/ca/ca.key" -CAcreateserial -out "$trial/ca/push.crt" \
	-extfile <(echo 'subjectAltName=DNS:push.example.org') 2>> "$work/openssl.log"

step 'boot'
mkdir "$work"/{disk,root}
for groups in /sys/fs/cgroup /sys/fs/cgroup/unified; do
	[ ! -e "$groups/cgroup.procs" ] || [ ! -e "$groups/cgroup.controllers" ] || cgroup=$groups/peal-try-debian.$$
done
[ -n "$cgroup" ] || { echo 'try-debian.sh: needs cgroup v2' >&2; exit 1; }
mkdir "$cgroup"
# shellcheck disable=SC2016 # the inner shell expands it
boot='
set -eu
base=$1 work=$2 root=$2/root
mount --make-rprivate /
mount -t tmpfs -o size=2g tmpfs "$work/disk"
mkdir "$work/disk/upper" "$work/disk/work"
mount -t overlay -o "lowerdir=$base,upperdir=$work/disk/upper,workdir=$work/disk/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/trial"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount --bind "$work/trial" "$root/trial"
exec env -i container=peal-trial PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /sbin/init'
(
	echo "$BASHPID" > "$cgroup/cgroup.procs"
	cd /
	exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup bash -c "$boot" -- "$base" "$work" < /dev/null > "$work/boot.log" 2>&1
) &
shell=$!
inside() { (cd / && nsenter --target "$init" --mount --pid --uts --ipc --net --cgroup --root="/proc/$init/root" --wd=/ env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root "$@"); }
for _ in $(seq 150); do
	kill -0 $shell 2> /dev/null || { cat "$work/boot.log"; exit 1; }
	init=$(pgrep -P $shell || true)
	state=$([ -z "$init" ] || inside systemctl is-system-running 2> /dev/null || true)
	case $state in running | degraded) break ;; esac
	sleep 0.2
done
echo "systemd is $state"
[ "$state" = running ] || { inside systemctl list-units --failed; exit 1; }

inside bash /trial/try-debian-inside.sh
