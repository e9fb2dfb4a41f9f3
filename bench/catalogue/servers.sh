#!/bin/sh
# The servers of other projects that bench/catalogue measures. Nothing is installed.
#
#   servers.sh NAME build DIR        builds or unpacks it into DIR, and prints its version
#   servers.sh NAME start DIR PORT   becomes the server, with one thread
set -eu
here=$(cd "$(dirname "$0")" && pwd) name=$1 step=$2 dir=$3 port=${4-}

# module PATH VERSION PACKAGE builds a package of a Go module in a module of its own, so
# that Peal's does not require it.
module() {
	mkdir -p "$dir/$name-module"
	cd "$dir/$name-module"
	printf 'module %s-module\n\ngo 1.26\n\nrequire %s %s\n' "$name" "$1" "$2" > go.mod
	[ "$3" != . ] || cp "$here/$name.txt" main.go
	go build -mod=mod -o "$dir/$name" "$3" >&2
}

library=/usr/lib/nginx/modules/ngx_nchan_module.so
[ -e "$library" ] || library=$dir/unpacked$library

case "$name $step" in
'centrifugo build')
	module github.com/centrifugal/centrifugo/v6 v6.9.1 github.com/centrifugal/centrifugo/v6
	echo v6.9.1
	;;
'centrifugo start')
	GOMAXPROCS=1 CENTRIFUGO_HTTP_SERVER_PORT=$port exec "$dir/centrifugo" -c "$here/centrifugo.json"
	;;
'mercure build') # a small hub that uses Mercure's library: its own server is a plugin of a web server
	module github.com/dunglas/mercure v0.24.2 .
	echo library v0.24.2
	;;
'mercure start')
	GOMAXPROCS=1 exec "$dir/mercure" "$port" "$dir"
	;;
'nchan build') # the installed nginx, with the installed module or that of Debian's package
	command -v nginx > /dev/null
	if ! [ -e "$library" ]; then
		cd "$dir"
		apt-get download -q libnginx-mod-nchan >&2
		dpkg-deb -x libnginx-mod-nchan_*.deb unpacked
	fi
	echo "$(apt-cache show --no-all-versions libnginx-mod-nchan | sed -n 's/^Version: //p'), $(nginx -v 2>&1)"
	;;
'nchan start')
	sed "s|modules/ngx_nchan_module.so|$library|; s|{dir}|$dir|; s|{port}|$port|" "$here/nchan.conf" > "$dir/nchan.conf.$port"
	exec nginx -e stderr -p "$dir" -c "$dir/nchan.conf.$port"
	;;
*)
	echo "servers.sh: no server $name, or no step $step" >&2
	exit 2
	;;
esac
