<?php
// The application of docs/laravel.md, in a folder that has its files, on
// Debian's Laravel. Answers each request of the command line: METHOD PATH.
// Usage: PEAL_URL=… PEAL_PHP=path/of/peal.php php laravel.php FOLDER [--worker | --job UUID] [--user ID] [--socket ID] METHOD PATH …
// With --job each request is another try of that job of the queue. --user is logged in; --socket is the header X-Socket-ID.
error_reporting(E_ALL & ~E_DEPRECATED); // Laravel 8 on PHP 8.2
require 'Illuminate/autoload.php';
require getenv('PEAL_PHP');

[, $root] = $argv;
$requests = array_slice($argv, 2);
spl_autoload_register(function ($class) use ($root) {
    if (strncmp($class, 'App\\', 4) === 0) {
        require "$root/app/" . strtr(substr($class, 4), '\\', '/') . '.php';
    }
});

// What every new application has, as far as it is needed here.
@mkdir("$root/bootstrap/cache", 0777, true);
@mkdir("$root/storage/logs", 0777, true);
file_put_contents("$root/composer.json", '{}');
file_put_contents("$root/config/app.php", '<?php return ' . var_export([
    'name' => 'shop', 'env' => 'production', 'debug' => false, 'timezone' => 'UTC', 'locale' => 'en', 'key' => str_repeat('k', 32), 'cipher' => 'AES-256-CBC',
    'providers' => [
        Illuminate\Bus\BusServiceProvider::class, Illuminate\Broadcasting\BroadcastServiceProvider::class, Illuminate\Filesystem\FilesystemServiceProvider::class,
        Illuminate\Queue\QueueServiceProvider::class, Illuminate\View\ViewServiceProvider::class, Illuminate\Foundation\Providers\FoundationServiceProvider::class,
        App\Providers\AppServiceProvider::class,
    ],
    'aliases' => [],
], true) . ';');
file_put_contents("$root/config/logging.php", '<?php return ' . var_export([
    'default' => 'file', 'channels' => ['file' => ['driver' => 'single', 'path' => "$root/storage/logs/laravel.log"]],
], true) . ';');
file_put_contents("$root/config/queue.php", "<?php return ['default' => 'sync', 'connections' => ['sync' => ['driver' => 'sync']]];");
file_put_contents("$root/config/view.php", "<?php return ['paths' => [], 'compiled' => '$root/storage'];");

$_ENV['APP_RUNNING_IN_CONSOLE'] = $_SERVER['APP_RUNNING_IN_CONSOLE'] = 'false'; // a page
if ($requests[0] === '--worker') {
    array_shift($requests);
    $_ENV['APP_RUNNING_IN_CONSOLE'] = $_SERVER['APP_RUNNING_IN_CONSOLE'] = 'true';
}

$job = null;
if ($requests[0] === '--job') {
    [, $job] = array_splice($requests, 0, 2);
}

$user = null;
if ($requests[0] === '--user') {
    [, $user] = array_splice($requests, 0, 2);
}
$socket = [];
if ($requests[0] === '--socket') {
    $socket = ['HTTP_X_SOCKET_ID' => array_splice($requests, 0, 2)[1]];
}

$app = new Illuminate\Foundation\Application($root);
$app->singleton(Illuminate\Contracts\Http\Kernel::class, Illuminate\Foundation\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, Illuminate\Foundation\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$kernel->bootstrap();
require "$root/routes/web.php";
foreach (array_chunk($requests, 2) as [$method, $path]) {
    $request = Illuminate\Http\Request::create($path, $method, [], [], [], ['HTTP_ACCEPT' => 'application/json'] + $socket);
    if ($user !== null) { // as the middleware auth does
        $request->setUserResolver(fn () => new Illuminate\Auth\GenericUser(['id' => $user, 'name' => 'Anna']));
    }
    if ($job !== null) {
        $try = new Illuminate\Queue\Jobs\SyncJob($app, json_encode(['uuid' => $job]), 'sync', 'default');
        $app['events']->dispatch(new Illuminate\Queue\Events\JobProcessing('sync', $try));
    }
    $response = $kernel->handle($request);
    if ($job !== null) {
        $app['events']->dispatch(new Illuminate\Queue\Events\JobExceptionOccurred('sync', $try, new Exception('the response was lost')));
    }
    echo $response->getStatusCode(), ' ', $response->getContent(), "\n";
    $kernel->terminate($request, $response);
}
