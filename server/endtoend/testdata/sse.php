<?php
// Server-sent events. Usage: php sse.php http://127.0.0.1:8080 channel count
[, $peal, $channel, $count] = $argv;
$stream = fopen("$peal/sse?channel=" . urlencode($channel), 'r');
if (!$stream) {
    exit(1);
}
$event = 'message';
$data = [];
while ($count > 0 && ($line = fgets($stream)) !== false) {
    $line = rtrim($line, "\r\n");
    if ($line === '') {
        if ($data && $event !== 'peal.cursor') { // which only moves the position
            echo $event, ': ', implode(' / ', $data), "\n";
            $count--;
        }
        $event = 'message';
        $data = [];
    } elseif (str_starts_with($line, 'event:')) {
        $event = ltrim(substr($line, 6));
    } elseif (str_starts_with($line, 'data:')) {
        $data[] = ltrim(substr($line, 5));
    }
}
