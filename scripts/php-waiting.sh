#!/bin/sh
# Measures the cost of a visitor that waits for a message, with the three programs of
# docs/php.md and with Peal, and the delay of the message. Needs Go and php-cli.
# PEAL=path measures that binary. PHP_FPM=path uses that php-fpm instead of PHP's
# built-in web server. The kernel chooses the ports, on loopback only.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-php.XXXXXX")
trap 'rm -rf "$dir"' EXIT
if [ "${PEAL-unset}" = unset ]; then
	PEAL=$dir/peal
	go build -o "$PEAL" ./cmd/peal
fi
# The programs of docs/php.md, named by their first lines.
awk -v dir="$dir" '/^```php$/ { getline; name = $NF; sub(".*/", "", name); file = dir "/" name; print > file; next } /^```$/ { file = "" } file { print > file }' docs/php.md
php scripts/php-waiting.php "$dir" "$PEAL" "${PHP_FPM:-}"
