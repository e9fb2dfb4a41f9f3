<?php
// Publish with what every PHP has. Usage: php publish.php http://127.0.0.1:8080
$peal = $argv[1];

// One line. PHP sends a form, as curl -d does; without a field "data" the body
// is the message.
echo file_get_contents("$peal/publish?channel=php", false, stream_context_create(['http' => [
    'method' => 'POST', 'header' => 'Content-Type: text/plain', 'content' => 'by file_get_contents',
]])), "\n";
echo file_get_contents("$peal/publish?channel=php", false, stream_context_create(['http' => [
    'method' => 'POST', 'header' => 'Content-Type: application/x-www-form-urlencoded', 'content' => 'not a form',
]])), "\n";

// A form with several channels.
echo file_get_contents("$peal/publish", false, stream_context_create(['http' => [
    'method' => 'POST',
    'header' => 'Content-Type: application/x-www-form-urlencoded',
    'content' => http_build_query(['channel' => ['php', 'php2'], 'event' => 'price', 'data' => 'by http_build_query: a&b=ü']),
]])), "\n";

// JSON.
echo file_get_contents("$peal/publish", false, stream_context_create(['http' => [
    'method' => 'POST',
    'header' => 'Content-Type: application/json',
    'content' => json_encode(['channel' => 'php', 'data' => ['order' => 17, 'paid' => true]]),
]])), "\n";
