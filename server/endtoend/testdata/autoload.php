<?php
// Loads the package as Composer would: PSR-4. Usage: php autoload.php URL
spl_autoload_register(function ($class) {
    $name = substr($class, strlen('Peal\\'));
    echo $name, "\n";
    require __DIR__ . "/../../../clients/php/src/$name.php";
});
$peal = new Peal\Client($argv[1]);
$result = $peal->publish('php', 'x');
Peal\Token::sign(['sub' => 'x'], str_repeat('k', 32));
new Peal\PealException($result);
echo $result->ok ? 'published' : $result->message, "\n";
