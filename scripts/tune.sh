#!/bin/sh
# Sets the kernel's limits and those of peal.service for 100,000 or 1,000,000
# connections. A value that is already higher stays. Running it again changes nothing.
#
#   tune.sh 100k | 1m     writes /etc/sysctl.d/60-peal.conf, for 1m also a drop-in for the unit, and applies the first
#   tune.sh --undo        removes them, and sets what was there before
#
#   --dry-run             prints what it would do, and why, and changes nothing
#   --root DIR            writes below DIR; values are read from DIR/proc/sys and not applied
#
# For 1m, peal.service takes the new limit of descriptors at its next restart.
set -eu

root='' dry='' undo='' size=''
usage() { echo "tune.sh: $*; usage: tune.sh 100k|1m|--undo [--dry-run] [--root DIR]" >&2; exit 2; }
while [ $# -gt 0 ]; do
	case $1 in
	100k | 1m) size=$1 ;;
	--undo) undo=yes ;;
	--dry-run) dry=yes ;;
	--root)
		[ $# -gt 1 ] || usage '--root needs a folder'
		root=${2%/}
		shift
		;;
	*) usage "unknown argument $1" ;;
	esac
	shift
done
[ -n "$size$undo" ] || usage 'how many connections?'
[ -z "$size" ] || [ -z "$undo" ] || usage '--undo takes no number of connections'
[ "$(id -u)" = 0 ] || [ -n "$dry" ] || [ -n "$root" ] || { echo 'tune.sh: must run as root (--dry-run needs no root)' >&2; exit 1; }

file=$root/etc/sysctl.d/60-peal.conf
dropin=$root/etc/systemd/system/peal.service.d/60-tune.conf

# set_now KEY VALUE: in the running kernel.
set_now() {
	if [ -n "$dry" ]; then echo "would set: $1 = $2"; return 0; fi
	[ -z "$root" ] || return 0
	echo "$2" > "/proc/sys/$(echo "$1" | tr . /)" || echo "tune.sh: cannot set $1 to $2 here (a container?): the next start of the machine will" >&2
}

remove_file() {
	[ -e "$1" ] || return 0
	if [ -n "$dry" ]; then echo "would remove: $1"; return 0; fi
	rm -f "$1"
	rmdir "$(dirname "$1")" 2> /dev/null || true # others may be there
	echo "removed $1"
}

reload_units() {
	[ -z "$root" ] && [ -z "$dry" ] && [ -d /run/systemd/system ] || return 0
	systemctl daemon-reload
}

if [ -n "$undo" ]; then
	[ -e "$file" ] || [ -e "$dropin" ] || { echo 'nothing to undo'; exit 0; }
	if [ -e "$file" ]; then # a line "# before: KEY = VALUE" for each
		sed -n 's/^# before: //p' "$file" | while read -r key _ value; do set_now "$key" "$value"; done
	fi
	remove_file "$file"
	remove_file "$dropin"
	reload_units
	exit 0
fi

case $size in
100k) descriptors=524288 connections=102400 ;; # what the unit has
1m) descriptors=1114112 connections=1048576 ;;
esac

work=$(mktemp)
trap 'rm -f "$work"' EXIT
echo "# Written by tune.sh $size of Peal; tune.sh --undo removes it." > "$work"

# current KEY: its value, with single spaces; empty if this kernel lacks it.
current() { tr -s '[:blank:]' ' ' 2> /dev/null < "$root/proc/sys/$(echo "$1" | tr . /)" || true; }

# before KEY: its value before the first run.
before() {
	was=''
	[ ! -e "$file" ] || was=$(sed -n "s/^# before: $1 = //p" "$file")
	if [ -n "$was" ]; then echo "$was"; else current "$1"; fi
}

# larger A B: of each number of two lists of equal length, the larger.
larger() {
	echo "$1|$2" | awk -F'|' '{ n = split($1, a, " "); split($2, b, " "); for (i = 1; i <= n; i++) printf "%s%s", (i > 1 ? " " : ""), (a[i] + 0 > b[i] + 0 ? a[i] : b[i]); print "" }'
}

# raise KEY VALUE REASON
raise() {
	was=$(before "$1")
	if [ -z "$was" ]; then
		echo "$1: this kernel lacks it (a module that is not loaded, or a container); skipped" >&2
		return 0
	fi
	case $1 in
	net.ipv4.ip_local_port_range) new=$2 ;;
	*) new=$(larger "$2" "$was") ;;
	esac
	printf '\n# %s\n# before: %s = %s\n%s = %s\n' "$3" "$1" "$was" "$1" "$new" >> "$work"
	if [ "$(current "$1")" != "$new" ]; then set_now "$1" "$new"; fi
}

raise fs.nr_open "$descriptors" "The most descriptors that one process may have: one for each connection, and a margin."
raise fs.file-max $((descriptors * 2)) "Open files of the whole machine: Peal's and those of all other programs."
raise net.core.somaxconn 65535 "Connections that wait until Peal accepts them. When all clients come back at once, those beyond it must retry after a second."
raise net.ipv4.tcp_max_syn_backlog 65535 "Half-open connections that the kernel remembers before it falls back to SYN cookies."
raise net.core.netdev_max_backlog 16384 "Packets that wait for a processor: a message to all clients causes as many acknowledgements."
raise net.ipv4.tcp_mem "$((connections / 2)) $connections $((connections * 2))" "Memory for all TCP buffers, in pages of 4 KiB: low, pressure, limit. A message on its way to every client takes about a page for each."
raise net.ipv4.tcp_max_orphans $((connections / 4)) "Connections that Peal has closed and whose last bytes are still on their way. Beyond it the kernel resets them, and clients miss the reason for the end."
raise net.netfilter.nf_conntrack_max $((connections * 2)) "Connections that the firewall remembers, where it is loaded. Beyond it the kernel drops packets of new clients."
raise net.ipv4.ip_local_port_range '10240 65535' "Ports for connections that this machine opens: a proxy on this machine needs one for each client. Ports that programs listen on should be lower."

# install_file FILE MODE PATH
install_file() {
	if cmp -s "$1" "$2"; then echo "unchanged: $2"; return 0; fi
	if [ -n "$dry" ]; then
		echo "would write $2:"
		sed 's/^/    /' "$1"
		return 0
	fi
	mkdir -p "$(dirname "$2")"
	install -m 644 "$1" "$2"
	echo "wrote $2"
}

install_file "$work" "$file"
if [ "$size" = 1m ]; then
	printf '# Written by tune.sh of Peal; tune.sh --undo removes it.\n[Service]\n# A descriptor for each connection, and a margin.\nLimitNOFILE=%s\n' "$descriptors" > "$work"
	install_file "$work" "$dropin"
else # 1m may have been here before
	remove_file "$dropin"
fi
reload_units
