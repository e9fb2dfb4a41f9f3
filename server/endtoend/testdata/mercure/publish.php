<?php
// Publishes with Debian's symfony/mercure, unchanged. Usage: php publish.php URL TOKEN
require '/usr/share/php/Symfony/Component/HttpClient/autoload.php';
require '/usr/share/php/Symfony/Component/Mercure/autoload.php';

use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Update;

$hub = new Hub($argv[1], new StaticTokenProvider($argv[2]));
echo $hub->publish(new Update('https://a/books/1', json_encode(['text' => "Grüße\n€"]))), "\n";
echo $hub->publish(new Update(['https://a/books/1', 'https://a/users/7'], "secret\nof two lines", true, 'urn:uuid:1', 'goal', 3000)), "\n";
try {
    (new Hub($argv[1], new StaticTokenProvider('x.y.z')))->publish(new Update('https://a/books/1', 'forged'));
} catch (Symfony\Component\Mercure\Exception\RuntimeException $e) {
    echo 'refused: ', $e->getPrevious()->getCode(), "\n";
}
