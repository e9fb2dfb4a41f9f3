<?php
// Runs code with $peal, a client made from clients/php/peal.php.
// Usage: php client.php URL OPTIONS-AS-JSON CODE
// show() prints a result, or whatever else, as a line of JSON. A warning ends
// the script, as in frameworks that make exceptions of them.
require __DIR__ . '/../../../clients/php/peal.php';

set_error_handler(function ($level, $message, $file, $line) {
    throw new ErrorException($message, 0, $level, $file, $line);
});

function show($value)
{
    echo json_encode($value, JSON_THROW_ON_ERROR), "\n";
}

$peal = new Peal\Client($argv[1], json_decode($argv[2], true, 512, JSON_THROW_ON_ERROR));
eval($argv[3]);
