<?php
// Long polling. Usage: php poll.php http://127.0.0.1:8080 channel count
[, $peal, $channel, $count] = $argv;
$cursor = 'earliest';
while ($count > 0) {
    $answer = file_get_contents("$peal/poll?" . http_build_query(['channel' => [$channel], 'cursor' => $cursor]));
    if ($answer === false) {
        exit(1);
    }
    $answer = json_decode($answer, true, 512, JSON_THROW_ON_ERROR);
    $cursor = $answer['cursor'];
    foreach ($answer['messages'] as $message) {
        echo $message['data'], "\n";
        $count--;
    }
}
