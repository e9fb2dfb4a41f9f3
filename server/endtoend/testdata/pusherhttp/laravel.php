<?php
// Broadcasts events by Debian's Laravel, whose broadcaster is pointed at Peal by its
// environment, and prints what becomes of each.
// Usage: PUSHER_APP_ID=… PUSHER_APP_KEY=… PUSHER_APP_SECRET=… PUSHER_HOST=… PUSHER_PORT=… php laravel.php SOCKET
error_reporting(E_ALL & ~E_DEPRECATED); // Laravel 8 on PHP 8.2
require 'Illuminate/autoload.php';
require __DIR__ . '/pusher.php';

use Illuminate\Broadcasting\BroadcastEvent;
use Illuminate\Broadcasting\BroadcastManager;
use Illuminate\Broadcasting\Channel;
use Illuminate\Broadcasting\InteractsWithSockets;
use Illuminate\Broadcasting\PresenceChannel;
use Illuminate\Broadcasting\PrivateChannel;

class OrderPaid implements Illuminate\Contracts\Broadcasting\ShouldBroadcast
{
    use InteractsWithSockets;

    public int $order = 17;
    public float $amount = 19.5;

    public function broadcastOn()
    {
        return [new Channel('orders'), new PrivateChannel('orders.17'), new PresenceChannel('office')];
    }
}

$container = new Illuminate\Container\Container();
$container->instance('config', new Illuminate\Config\Repository(['broadcasting' => ['default' => 'pusher', 'connections' => ['pusher' => [
    'driver' => 'pusher', 'key' => getenv('PUSHER_APP_KEY'), 'secret' => getenv('PUSHER_APP_SECRET'), 'app_id' => getenv('PUSHER_APP_ID'),
    'options' => ['host' => getenv('PUSHER_HOST'), 'port' => getenv('PUSHER_PORT'), 'scheme' => 'http'],
]]]]));
$manager = new BroadcastManager($container);

$broadcast = function (string $what, OrderPaid $event) use ($manager) {
    try {
        (new BroadcastEvent($event))->handle($manager);
        echo "$what: ok\n";
    } catch (Illuminate\Broadcasting\BroadcastException $e) {
        echo "$what: {$e->getMessage()}\n";
    }
};
$broadcast('to all', new OrderPaid());
$others = new OrderPaid();
$others->socket = $argv[1]; // as toOthers() does with X-Socket-ID
$broadcast('to others', $others);
$bad = new OrderPaid();
$bad->socket = 'nobody';
$broadcast('to a socket that is none', $bad);
$channels = $manager->connection()->getPusher()->get('/channels', ['filter_by_prefix' => 'or', 'info' => 'subscription_count']);
echo json_encode($channels), "\n";
