<?php
// The application of docs/symfony.md, in a folder that has its files, on
// Debian's Symfony. Answers each request of the command line: METHOD PATH;
// ANNOUNCE CHANNEL has the handler take one message twice, as Messenger does when it fails; LOGIN NAME logs a user in.
// Usage: PEAL_URL=… PEAL_PHP=path/of/peal.php php symfony.php FOLDER METHOD PATH …
error_reporting(E_ALL & ~E_DEPRECATED); // Symfony 5.4 on PHP 8.2
foreach (['Bundle/FrameworkBundle', 'Component/Yaml', 'Component/DependencyInjection', 'Component/Config', 'Component/HttpKernel', 'Component/Routing', 'Component/Security/Core'] as $part) {
    require_once "Symfony/$part/autoload.php";
}
require getenv('PEAL_PHP');

[, $root] = $argv;
spl_autoload_register(function ($class) use ($root) {
    if (strncmp($class, 'App\\', 4) === 0) {
        require "$root/src/" . strtr(substr($class, 4), '\\', '/') . '.php';
    }
});

// What every new application has, as far as it is needed here.
class Kernel extends Symfony\Component\HttpKernel\Kernel
{
    use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new Symfony\Bundle\FrameworkBundle\FrameworkBundle()];
    }

    public function getProjectDir(): string
    {
        return $GLOBALS['root'];
    }

    protected function configureContainer(Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator $c): void
    {
        $c->extension('framework', ['secret' => 'k', 'http_method_override' => false, 'router' => ['utf8' => true]]);
        $c->services()->set('logger', Symfony\Component\HttpKernel\Log\Logger::class)->args(['warning', $this->getProjectDir() . '/log']);
        // As SecurityBundle does.
        $storage = Symfony\Component\Security\Core\Authentication\Token\Storage\TokenStorage::class;
        $locator = Symfony\Component\DependencyInjection\Loader\Configurator\service_locator(['security.token_storage' => new Symfony\Component\DependencyInjection\Loader\Configurator\ReferenceConfigurator('security.token_storage')]);
        $c->services()->set('security.token_storage', $storage)->public();
        $c->services()->set(Symfony\Component\Security\Core\Security::class)->args([$locator]);
        $c->import($this->getProjectDir() . '/config/services.yaml');
    }

    protected function configureRoutes(Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator $routes): void
    {
        $routes->import($this->getProjectDir() . '/config/routes.yaml');
    }
}

$kernel = new Kernel('prod', false);
foreach (array_chunk(array_slice($argv, 2), 2) as [$method, $path]) {
    if ($method === 'ANNOUNCE') {
        $message = unserialize(serialize(new App\Message\Announce($path, 'hello'))); // as a transport stores it
        foreach ([1, 2] as $try) {
            (new App\MessageHandler\AnnounceHandler(getenv('PEAL_URL'), getenv('PEAL_KEY') ?: null))($message);
        }
        continue;
    }
    if ($method === 'LOGIN') {
        $kernel->boot();
        $user = new Symfony\Component\Security\Core\User\InMemoryUser($path, null);
        $kernel->getContainer()->get('security.token_storage')->setToken(new Symfony\Component\Security\Core\Authentication\Token\UsernamePasswordToken($user, 'main'));
        continue;
    }
    $request = Symfony\Component\HttpFoundation\Request::create($path, $method);
    $response = $kernel->handle($request);
    echo $response->getStatusCode(), ' ', $response->getContent(), "\n";
    $kernel->terminate($request, $response);
}
