<?php
// Runs code with $redis, a connection to a real server, and $peal, a Peal\RedisPublisher on it.
// Usage: php redis.php phpredis|predis PORT CODE
require __DIR__ . '/../../../clients/php/peal.php';

set_error_handler(function ($level, $message, $file, $line) {
    if (strpos($file, 'Predis') === false) { // Debian's Predis is older than its PHP
        throw new ErrorException($message, 0, $level, $file, $line);
    }
    return true;
});

function show($value)
{
    echo json_encode($value, JSON_THROW_ON_ERROR), "\n";
}

function fails(callable $f)
{
    try {
        $f();
        show('nothing is thrown');
    } catch (Throwable $e) {
        show(get_class($e) . ': ' . $e->getMessage());
    }
}

if ($argv[1] === 'predis') {
    require 'Predis/Autoloader.php';
    Predis\Autoloader::register();
    $redis = new Predis\Client(['host' => '127.0.0.1', 'port' => (int) $argv[2]], ['prefix' => 'shop:']);
} else {
    $redis = new Redis();
    $redis->connect('127.0.0.1', (int) $argv[2]);
    $redis->setOption(Redis::OPT_PREFIX, 'shop:');
    $redis->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
}
$peal = new Peal\RedisPublisher($redis);
eval($argv[3]);
