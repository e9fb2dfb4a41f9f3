#!/bin/sh
# Measures what a visitor costs who waits for a message, in the three programs of
# docs/php.md and with Peal, and how late the message comes. Needs Go, php-cli.
# PEAL=path measures that binary. PHP_FPM=path (of php-fpm) has php-fpm wait
# instead of PHP's own web server. Ports: chosen by the kernel, loopback only.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/peal-php.XXXXXX")
trap 'rm -rf "$dir"' EXIT
if [ "${PEAL-unset}" = unset ]; then
	PEAL=$dir/peal
	go build -o "$PEAL" ./cmd/peal
fi
# The files of the page, by the names that their first lines say.
awk -v dir="$dir" '/^```php$/ { getline; name = $NF; sub(".*/", "", name); file = dir "/" name; print > file; next } /^```$/ { file = "" } file { print > file }' docs/php.md
php scripts/php-waiting.php "$dir" "$PEAL" "${PHP_FPM:-}"
