<?php
// The measurements of scripts/php-waiting.sh, which see.
// Usage: php php-waiting.php FOLDER PEAL [PHP-FPM]
require __DIR__ . '/../clients/php/peal.php';

[, $dir, $pealBinary] = $argv;
$fpm = $argv[3] ?? '';
$children = [];
register_shutdown_function(function () use (&$children) {
    array_walk($children, 'stop');
});

/** Starts a program in the folder; reads its first line if it has one to say. */
function launch(array $command, array $env = [], bool $says = false): array
{
    global $dir, $children;
    $process = proc_open($command, [1 => $says ? ['pipe', 'w'] : ['file', '/dev/null', 'w'], 2 => ['file', "$dir/stderr", 'a']], $pipes, $dir, $env + getenv());
    $line = $says ? trim(fgets($pipes[1])) : '';
    return $children[] = ['process' => $process, 'pid' => proc_get_status($process)['pid'], 'line' => $line, 'pipes' => $pipes];
}

function stop(array $child): void
{
    if (is_resource($child['process'])) {
        foreach (family($child['pid']) as $pid) {
            posix_kill($pid, SIGKILL);
        }
        proc_close($child['process']);
    }
}

/** A process and all its descendants. */
function family(int $pid): array
{
    $all = [$pid];
    foreach (explode(' ', trim((string) @file_get_contents("/proc/$pid/task/$pid/children"))) as $child) {
        $all = array_merge($all, $child === '' ? [] : family((int) $child));
    }
    return $all;
}

/** Their proportional set size in KiB: shared pages are counted once. */
function memory(array $child): int
{
    $sum = 0;
    foreach (family($child['pid']) as $pid) {
        preg_match('/^Pss:\s+(\d+)/m', (string) @file_get_contents("/proc/$pid/smaps_rollup"), $found);
        $sum += (int) ($found[1] ?? 0);
    }
    return $sum;
}

function freePort(): string
{
    $server = stream_socket_server('tcp://127.0.0.1:0');
    return stream_socket_get_name($server, false);
}

/** Connects, as soon as somebody listens. */
function connect(string $address)
{
    for ($i = 0; $i < 500; $i++) {
        if ($socket = @stream_socket_client("tcp://$address", $code, $message, 5)) {
            stream_set_timeout($socket, 10);
            return $socket;
        }
        usleep(10000);
    }
    exit("connect to $address: $message\n");
}

/** A visitor who asks for a path and waits. */
function visit(string $address, string $path, bool $fastcgi = false)
{
    global $dir;
    $socket = connect($address);
    if (!$fastcgi) {
        fwrite($socket, "GET $path HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        return $socket;
    }
    [$file, $query] = explode('?', "$path?");
    $params = '';
    foreach (['SCRIPT_FILENAME' => "$dir$file", 'REQUEST_METHOD' => 'GET', 'QUERY_STRING' => $query] as $name => $value) {
        $params .= chr(strlen($name)) . chr(strlen($value)) . $name . $value;
    }
    foreach ([[1, pack('nCx5', 1, 0)], [4, $params], [4, ''], [5, '']] as [$type, $content]) {
        fwrite($socket, pack('CCnnCx', 1, $type, 1, strlen($content), 0) . $content);
    }
    return $socket;
}

/** PHP with so many processes for visitors: php-fpm or PHP's own web server. */
function pool(int $processes): array
{
    global $dir, $fpm;
    $address = freePort();
    if ($fpm === '') {
        return launch(['php', '-S', $address, '-t', $dir], ['PHP_CLI_SERVER_WORKERS' => $processes]) + ['address' => $address];
    }
    file_put_contents("$dir/fpm.conf", "[global]\ndaemonize=no\nerror_log=$dir/fpm.log\n[www]\nuser=nobody\nlisten=$address\npm=static\npm.max_children=$processes\n");
    chmod($dir, 0755);
    return launch([$fpm, '-R', '-y', "$dir/fpm.conf"]) + ['address' => $address];
}

/** Milliseconds from publish() until $hear() returns, 20 times at random moments. */
function delays(callable $publish, callable $hear, ?callable $ask = null): string
{
    $all = [];
    for ($i = 0; $i < 20; $i++) {
        $asked = $ask ? $ask() : null;
        usleep(random_int(300000, 1300000));
        $from = hrtime(true);
        $publish("message $i");
        $hear($asked, "message $i");
        $all[] = (hrtime(true) - $from) / 1e6;
    }
    sort($all);
    return sprintf('median %.1f ms, longest %.1f ms', ($all[9] + $all[10]) / 2, $all[19]);
}

/** Reads until the text has come, and perhaps more. */
function hear($socket, string $text): void
{
    for ($heard = ''; strpos($heard, $text) === false; $heard .= $part) {
        $part = fread($socket, 1 << 16);
        if ($part === false || $part === '') {
            exit("\"$text\" never came\n");
        }
    }
}

const VISITORS = 50;
$kind = $fpm === '' ? 'php -S' : 'php-fpm';
foreach (['poll.php', 'stream.php'] as $script) {
    file_put_contents("$dir/messages.txt", '');
    $idle = pool(2);
    hear(visit($idle['address'], '/stream.php', $fpm !== ''), 'still here');
    $before = memory($idle);
    stop($idle);
    $busy = pool(VISITORS + 2);
    $waiting = [];
    for ($i = 0; $i < VISITORS; $i++) {
        $waiting[] = visit($busy['address'], "/$script", $fpm !== '');
    }
    hear(visit($busy['address'], '/stream.php', $fpm !== ''), 'still here');
    sleep(2);
    printf("%-28s %6.0f KiB per visitor (%d of them, %d processes)\n", "$script, $kind", (memory($busy) - $before) / VISITORS, VISITORS, count(family($busy['pid'])));
    array_map('fclose', $waiting);
    $publish = fn ($text) => file_put_contents("$dir/messages.txt", "$text\n", FILE_APPEND);
    if ($script === 'poll.php') {
        $count = fn () => count(file("$dir/messages.txt"));
        $delay = delays($publish, 'hear', fn () => visit($busy['address'], '/poll.php?seen=' . $count(), $fpm !== ''));
    } else {
        $stream = visit($busy['address'], '/stream.php', $fpm !== '');
        hear($stream, 'still here');
        $delay = delays($publish, fn ($_, $text) => hear($stream, $text));
    }
    printf("%-28s %s\n", "$script, $kind", $delay);
    stop($busy);
}

$loop = launch(['php', "$dir/socket.php", '0'], [], true);
$first = connect($loop['line']);
fwrite($first, "hello\n");
hear($first, 'hello');
$before = memory($loop);
$waiting = [];
for ($i = 0; $i < 1000; $i++) {
    $waiting[] = connect($loop['line']);
}
fwrite($waiting[999], "all\n"); // whom the loop hears, it has accepted
hear($waiting[999], 'all');
printf("%-28s %6.1f KiB per visitor (1000 of them, 1 process)\n", 'socket.php', (memory($loop) - $before) / 1000);
for ($i = 0; $i < 100; $i++) { // the kernel's queue for them is short: do not wait
    $waiting[] = stream_socket_client("tcp://$loop[line]", $code, $message, 5, STREAM_CLIENT_CONNECT | STREAM_CLIENT_ASYNC_CONNECT);
}
stream_set_timeout($first, 5);
for ($i = 0, $heard = true; $i < 300 && $heard; $i++) { // each time round the loop accepts at least one
    fwrite($first, "more $i\n");
    do {
        $line = fgets($first);
    } while ($line !== false && $line !== "more $i\n");
    $heard = $line !== false;
}
printf("%-28s with 1101 visitors: %s\n", 'socket.php', $heard ? 'works' : 'no visitor receives messages any more');
stop($loop);

array_map('fclose', $waiting); // or the next program inherits them

$loop = launch(['php', "$dir/socket.php", '0'], [], true);
[$stalled, $reader, $writer] = [connect($loop['line']), connect($loop['line']), connect($loop['line'])];
stream_set_blocking($writer, false);
stream_set_blocking($reader, false);
$line = str_repeat('x', 60000) . "\n";
[$heard, $owed, $end] = [0, str_repeat($line, 200), microtime(true) + 10];
while ($heard < 200 && microtime(true) < $end) {
    $sent = (int) fwrite($writer, substr($owed, 0, 1 << 16));
    $owed = substr($owed, $sent);
    fread($writer, 1 << 20);
    $heard += substr_count((string) fread($reader, 1 << 20), "\n");
}
printf("%-28s one visitor reads nothing: another has %d of 200 messages after 10 s\n", 'socket.php', $heard);
stop($loop);

$server = launch([$pealBinary, 'serve', '--listen', '127.0.0.1:0'], [], true);
$address = str_replace('Peal listens on ', '', $server['line']);
$peal = new Peal\Client("http://$address", ['throw' => true]);
hear(visit($address, '/sse?channel=news'), 'id:');
$before = memory($server);
$waiting = [];
for ($i = 0; $i < 5000; $i++) {
    $waiting[] = visit($address, '/sse?channel=news');
}
hear($waiting[4999], 'id:');
printf("%-28s %6.1f KiB per visitor (5000 of them, 1 process)\n", 'Peal, /sse', (memory($server) - $before) / 5000);
$from = hrtime(true);
$peal->publish('news', 'to all');
hear($waiting[4999], 'to all');
printf("%-28s the last of 5000 visitors has a message after %.0f ms\n", 'Peal, /sse', (hrtime(true) - $from) / 1e6);
array_map('fclose', $waiting);
$publish = fn ($text) => $peal->publish('news', $text);
$stream = visit($address, '/sse?channel=news');
hear($stream, 'id:');
printf("%-28s %s\n", 'Peal, /sse', delays($publish, fn ($_, $text) => hear($stream, $text)));
printf("%-28s %s\n", 'Peal, /poll', delays($publish, 'hear', fn () => visit($address, '/poll?channel=news&format=raw')));
$stalled = visit($address, '/sse?channel=big');
$reader = visit($address, '/sse?channel=big');
hear($reader, 'id:');
for ($i = 0; $i < 200; $i++) {
    $peal->publish('big', str_repeat('x', 60000) . $i . '.');
}
hear($reader, 'x199.');
printf("%-28s one visitor reads nothing: another has 200 of 200 messages\n", 'Peal, /sse');
stop($server);
