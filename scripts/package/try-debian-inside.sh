#!/usr/bin/env bash
# The part of try-debian.sh that runs in the clean Debian.
set -eEuo pipefail
cd /root
step() { printf '\n== %s\n' "$*"; }
fail() {
	trap - ERR
	echo "FAILED: $*"
	journalctl --no-pager -u peal -n 30 -o cat
	exit 1
}
trap 'fail "line $LINENO"' ERR
# block_of HEADING N: the Nth block of commands below a heading of docs/deploy.md.
block_of() {
	awk -v heading="$1" -v n="$2" '$0 == heading { in_part = 1; next } in_part && /^##? / { exit }
		in_part && /^```sh$/ { if (++count == n) { copy = 1; next } } copy && /^```$/ { exit } copy' /trial/deploy.md
}
block() { block_of "$@"; }
run() {
	printf '%s\n' "$1" | sed 's/^/  $ /'
	bash -euo pipefail -c "$1"
}
pid() { systemctl show -p MainPID --value peal; }
# eventually COMMAND...: within 20 s.
eventually() {
	for _ in $(seq 100); do
		if "$@" > /dev/null 2>&1; then return 0; fi
		sleep 0.2
	done
	fail "never: $*"
}

echo '127.0.0.1 push.example.org' >> /etc/hosts
cp /trial/ca/ca.crt /usr/local/share/ca-certificates/trial.crt
update-ca-certificates > /dev/null 2>&1
install -d /etc/ssl/peal
install -m 644 /trial/ca/push.crt /etc/ssl/peal
# The user that the package will make does not exist yet: its group gets the key below.
install -m 600 /trial/ca/push.key /etc/ssl/peal

step 'from a bare host to HTTPS: the commands of docs/deploy.md'
commands=$(block '## From a bare host to HTTPS' 1)
[ -n "$commands" ] || fail 'docs/deploy.md has no such block'
echo "$(grep -cE '^[a-z]' <<< "$(sed '/<<END/,/^END/{/<<END/!d}' <<< "$commands")") commands"
commands=$(sed -e 's|https://example.org/peal/v1.2.3|file:///trial/v0.0.1|g; s|peal_1.2.3_|peal_0.0.1_|g; s|apt install|apt-get -qq install -y|' \
	-e 's|^acme: .*|tls-cert: /etc/ssl/peal/push.crt\ntls-key: /etc/ssl/peal/push.key|' \
	-e 's|^systemctl restart peal|chgrp peal /etc/ssl/peal/push.key; chmod 640 /etc/ssl/peal/push.key; &|' \
	-e 's|^peal doctor|& --quick|' <<< "$commands")
run "$commands"
systemctl is-active peal
systemctl status peal --no-pager -n 0
[ "$(curl -s -o /dev/null -w '%{http_code} %{redirect_url}' http://push.example.org/)" = '308 https://push.example.org/' ] || fail 'no redirect from port 80'
ps() { tr '\0' ' ' < "/proc/$(pid)/cmdline"; }
echo "$(ps) as $(stat -c %U "/proc/$(pid)"), capabilities $(sed -n 's/^CapEff:\t//p' "/proc/$(pid)/status"), $(sed -n 's/^Max open files *//p' "/proc/$(pid)/limits" | tr -s ' ')"

key=$(cat backend.key)
publish() { curl -fsS -H "Authorization: Bearer $key" -d "$1" https://push.example.org/publish; }
history() { peal token --sub 1 --subscribe main --ttl 10m --secret-file /etc/peal/token.secret > user.token; curl -fsS -H "Authorization: Bearer $(cat user.token)" 'https://push.example.org/poll?cursor=earliest'; }
publish 'before the restart'

step 'reload: a fault changes nothing, and systemctl reports it'
cp /etc/peal/peal.yaml good.yaml
echo 'drain: never' >> /etc/peal/peal.yaml
! systemctl reload peal 2> err || fail 'a reload of a faulty file succeeds'
journalctl --no-pager -u peal -n 20 -o cat | grep 'never'
cp good.yaml /etc/peal/peal.yaml
systemctl reload peal
systemctl is-active peal

step 'a process that hangs is replaced by the watchdog'
mkdir -p /run/systemd/system/peal.service.d
printf '[Service]\nWatchdogSec=3s\n' > /run/systemd/system/peal.service.d/trial.conf
systemctl daemon-reload
systemctl restart peal
hung=$(pid)
kill -STOP "$hung"
another() { [ "$(pid)" != "$hung" ] && [ "$(pid)" != 0 ] && systemctl is-active --quiet peal; }
eventually another
rm -r /run/systemd/system/peal.service.d
systemctl daemon-reload
systemctl restart peal
history | grep -q 'before the restart' || fail 'messages are lost'

step 'restart with socket activation refuses no connection'
mkdir -p /etc/systemd/system/peal.socket.d
printf "[Socket]\nListenStream=\nListenStream=443\n" > /etc/systemd/system/peal.socket.d/override.conf
systemctl daemon-reload
systemctl stop peal
systemctl -q enable peal.socket
systemctl start peal.socket peal
(
	n=0 refused=0
	while [ ! -e stop ]; do
		n=$((n + 1))
		curl -fsS -o /dev/null --max-time 20 https://push.example.org/ 2>> refused.log || refused=$((refused + 1))
	done
	echo "$n requests, $refused refused" > refused
) &
for _ in 1 2 3; do systemctl restart peal; done
touch stop
wait
cat refused
grep -q ' 0 refused' refused || { cat refused.log; fail 'a restart refused connections'; }

step 'upgrade, and rollback'
for version in v0.0.2 v0.0.1; do
	apt-get -qq install -y --allow-downgrades /trial/$version/peal_*.deb > apt.log 2>&1 || { cat apt.log; fail "install $version"; }
	[ "$(peal version | cut -d' ' -f2)" = $version ] || fail "version is not $version"
	eventually systemctl is-active --quiet peal
	cmp -s good.yaml /etc/peal/peal.yaml || fail 'the configuration was changed'
	history | grep -q 'before the restart' || fail 'messages are lost'
	peal version
done

step 'backup, and restore'
block() { block_of "$@" | sed 's/systemctl \(stop\|start\) peal$/systemctl \1 peal.socket peal/'; } # as the document says for peal.socket
run "$(block '## Backup and restore' 1)"
publish 'after the backup'
run "$(block '## Backup and restore' 2 | sed 's|/backup/log|/root/copy|g')"
run "$(block '## Backup and restore' 3 | sed "s|peal-2026-01-31|peal-$(date +%F)|")"
history > after
grep -q 'before the restart' after || fail 'the backup lacks a message'
! grep -q 'after the backup' after || fail 'the backup has a message that came later'

step 'tune.sh shows what it would do'
sh /trial/tune.sh 100k --dry-run | grep 'set: net.core.somaxconn' # not applied: some values are those of the whole machine

step 'purge leaves nothing but what is documented'
apt-get -qq purge -y peal > apt.log 2>&1 || { cat apt.log; fail purge; }
! systemctl -q is-active peal peal.socket || fail 'it still runs'
find / -xdev \( -path /proc -o -path /sys -o -path /trial -o -path /root -o -path /var/log/journal \) -prune -o -name '*peal*' -print
ls /etc/peal

step 'install.sh, twice, and --uninstall'
rm -rf /etc/systemd/system/peal.socket.d
sh /trial/v0.0.1/install.sh --from /trial/v0.0.1 | tail -n 1
eventually curl -fsS -o /dev/null http://127.0.0.1:8080/
sh /trial/v0.0.1/install.sh --from /trial/v0.0.1
sh /trial/v0.0.2/install.sh --from /trial/v0.0.2 | tail -n 1
[ "$(/usr/local/bin/peal version | cut -d' ' -f2)" = v0.0.2 ] || fail 'install.sh does not upgrade'
eventually curl -fsS -o /dev/null http://127.0.0.1:8080/
sh /usr/local/share/peal/install.sh --uninstall
find / -xdev \( -path /proc -o -path /sys -o -path /trial -o -path /root -o -path /var/log/journal \) -prune -o -name '*peal*' -print

printf '\nthe trial succeeded\n'
