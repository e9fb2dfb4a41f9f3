<?php
// Stands in for the package pusher-http-php, which cannot be installed here: the methods of
// its class that Laravel's broadcaster calls, and requests of the same form. Its code is not that of the package.
namespace Pusher;

class PusherException extends \Exception
{
}

class ApiErrorException extends PusherException
{
}

class Pusher
{
    private string $key;
    private string $secret;
    private string $id;
    private array $options;

    public function __construct(string $key, string $secret, string $id, array $options = [])
    {
        [$this->key, $this->secret, $this->id, $this->options] = [$key, $secret, $id, $options];
    }

    public function trigger($channels, string $event, $data, array $params = [])
    {
        $channels = array_map('strval', (array) $channels);
        $data = is_string($data) ? $data : json_encode($data);
        return $this->request('POST', '/events', [], json_encode(['name' => $event, 'data' => $data, 'channels' => array_values($channels)] + $params));
    }

    public function get(string $path, array $params = [])
    {
        return $this->request('GET', $path, $params, '');
    }

    private function request(string $method, string $path, array $query, string $body)
    {
        $path = "/apps/$this->id$path";
        $query += ['auth_key' => $this->key, 'auth_timestamp' => (string) time(), 'auth_version' => '1.0'];
        if ($body !== '') {
            $query['body_md5'] = md5($body);
        }
        ksort($query);
        $pairs = [];
        foreach ($query as $name => $value) {
            $pairs[] = strtolower($name) . '=' . $value;
        }
        $query['auth_signature'] = hash_hmac('sha256', "$method\n$path\n" . implode('&', $pairs), $this->secret);
        $o = $this->options;
        $text = file_get_contents("$o[scheme]://$o[host]:$o[port]$path?" . http_build_query($query), false, stream_context_create(['http' => [
            'method' => $method, 'content' => $body, 'ignore_errors' => true, 'timeout' => 25,
            'header' => "Content-Type: application/json\r\nX-Pusher-Library: stand-in 1\r\n",
        ]]));
        if (!preg_match('#^HTTP/\S+ (\d+)#', $http_response_header[0] ?? '', $m) || $m[1] !== '200') {
            throw new ApiErrorException($text, (int) ($m[1] ?? 0));
        }
        $result = json_decode($text, false, 512, JSON_THROW_ON_ERROR);
        if (!is_object($result)) {
            throw new ApiErrorException("no object: $text");
        }
        return $result;
    }
}
