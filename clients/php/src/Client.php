<?php

declare(strict_types=1);

namespace Peal;

/**
 * Publishes to a Peal server, reads its channels, and ends connections.
 *
 * It is made for use within a page: whatever happens to the server, a call
 * returns within the option timeout and throws nothing. The connection stays open
 * for the next call of this object. Use one object for a request or a worker.
 */
final class Client
{
    /** The size of a response, in bytes. Those of Peal are smaller. */
    private const MAX_RESPONSE = 8 << 20;

    /** Range of the random time before the second attempt, in microseconds. */
    private const PAUSE = [50000, 150000];

    /** After these statuses the same request may succeed later. */
    private const PASSING = [429, 500, 502, 503, 504];

    private const OPTIONS = [
        'connect_timeout' => 0.2, // seconds, for each connection
        'timeout' => 1.0,         // seconds, for all of a call: both tries and the pause between
        'throw' => false,         // a PealException instead of a result that is not ok
        'logger' => null,         // gets a warning() for each failed call: PSR-3
        'headers' => [],          // lines for each request, for a proxy in front of Peal
    ];

    private string $base;

    /** The header with the key; empty without one. @var string[] */
    private array $authorization = [];

    private string $socket = '';

    /** @var array<string, mixed> */
    private array $options;

    /** A fault of the options; each call returns it, because the constructor does not throw either. */
    private ?Result $fault = null;

    /** @var resource|\CurlHandle|null */
    private $curl = null;

    /** The process that opened the connection: a fork must not write into it. */
    private int $process = 0;

    /**
     * @param string|null $url http://host:port, https://host/path or unix:/path;
     *   null is the environment's PEAL_URL, or else http://127.0.0.1:8080
     * @param array<string, mixed> $options connect_timeout, timeout (seconds),
     *   throw (bool), logger (PSR-3), headers (lines)
     * @param string|null $key the key of this backend (peal_…); null is the environment's PEAL_KEY, or else none
     */
    public function __construct(
        ?string $url = null,
        array $options = [],
        #[\SensitiveParameter]
        ?string $key = null
    ) {
        $url = $url ?? (getenv('PEAL_URL') ?: 'http://127.0.0.1:8080');
        if (strncmp($url, 'unix:', 5) === 0) {
            $this->socket = substr($url, 5);
            $url = 'http://localhost';
        }
        $this->base = rtrim($url, '/');
        $this->options = $options + self::OPTIONS;
        $this->fault = self::unknown($options, array_keys(self::OPTIONS)) ?? $this->authorize($key ?? (getenv('PEAL_KEY') ?: ''));
        if (!function_exists('curl_init')) {
            $this->fault = Result::failed('no_curl', 'the extension curl is missing: install php-curl');
        } elseif (preg_match('~^https?://~i', $url) !== 1) {
            $this->fault = Result::failed('bad_option', "the URL \"$url\" (first argument, or PEAL_URL) must begin with http://, https:// or unix:");
        }
    }

    /**
     * Publishes data on a channel, or on several: one message on each, in that order.
     *
     * @param string|string[] $channel
     * @param mixed $data a string is published as it is, anything else as its JSON
     * @param array<string, mixed> $options event (its name), binary (bool: publish
     *   as bytes, even if it is text), idempotency_key (generated if it is not given),
     *   exclude (the session that does not receive it: the id from the browser that caused it)
     */
    public function publish($channel, $data, array $options = []): Result
    {
        return $this->guard('publish', function () use ($channel, $data, $options): Result {
            return self::nameless($channel) ?? $this->post('channel', (array) $channel, $data, $options);
        });
    }

    /**
     * Publishes data to a user, on all connections that have a token with this sub: on the
     * channel $user:SUB, which the browser calls $me.
     *
     * @param string|int $sub
     * @param mixed $data as for publish
     * @param array<string, mixed> $options as for publish
     */
    public function publishToUser($sub, $data, array $options = []): Result
    {
        return $this->guard('publishToUser', function () use ($sub, $data, $options): Result {
            return (string) $sub === ''
                ? Result::failed('no_client', 'name the user: the sub of its tokens')
                : $this->post('user', [$sub], $data, $options);
        });
    }

    /**
     * Publishes up to 1,000 messages by one request, in their order, independently
     * of each other: some may succeed and others fail. The result has one result
     * for each message.
     *
     * @param array<int, array<string, mixed>> $messages each with channel, data
     *   and optionally event, binary, idempotency_key and exclude, as for publish
     */
    public function publishBatch(array $messages): Result
    {
        return $this->guard('publishBatch', function () use ($messages): Result {
            $batch = [];
            foreach ($messages as $i => $message) {
                $fault = self::unknown($message, ['channel', 'data', 'event', 'binary', 'idempotency_key', 'exclude']);
                if ($fault !== null || ($fault = self::nameless($message['channel'] ?? null)) !== null) {
                    $fault->message = "message $i: $fault->message";
                    return $fault;
                }
                $batch[] = self::batched($message);
            }
            $result = $this->send('/publish/batch', 'results', self::text(['messages' => $batch]), ['Content-Type: application/json']);
            foreach ($result->results as $i => $one) {
                $one->status = $result->status;
                $one->idempotencyKey = $batch[$i]['idempotency_key'] ?? null;
            }
            return $result;
        });
    }

    /**
     * The retained messages of a channel, oldest first: its newest 100 messages, or
     * those after a cursor. The body has more (bool) and gap (messages that are gone).
     *
     * @param array<string, mixed> $options cursor (or 'earliest'), or last (a
     *   number); limit (a number, at most 1,000)
     */
    public function history(string $channel, array $options = []): Result
    {
        return $this->guard('history', function () use ($channel, $options): Result {
            return self::unknown($options, ['cursor', 'last', 'limit'])
                ?? self::nameless($channel)
                ?? $this->send('/channels/' . rawurlencode($channel) . '/history?' . http_build_query($options, '', '&'), 'messages');
        });
    }

    /**
     * Waits for the next messages of a channel, or of several: for a worker, not
     * for a page. The call returns as soon as there is a message, and without one
     * after the option timeout. The next call continues at the result's cursor,
     * which a result without messages has too. The body has gap if messages after the
     * cursor are no longer available.
     *
     * @param string|string[] $channel
     * @param array<string, mixed> $options cursor (or 'earliest'; default: from now
     *   on) or last (a number), timeout (whole seconds, default 25; the call takes
     *   at most the client's timeout longer)
     */
    public function poll($channel, array $options = []): Result
    {
        return $this->guard('poll', function () use ($channel, $options): Result {
            $fault = self::unknown($options, ['cursor', 'last', 'timeout']) ?? self::nameless($channel);
            if ($fault !== null) {
                return $fault;
            }
            $hold = (int) ($options['timeout'] ?? 25);
            $query = http_build_query(['timeout' => $hold] + $options, '', '&');
            foreach ((array) $channel as $name) {
                $query .= '&channel=' . rawurlencode((string) $name);
            }
            return $this->send('/poll?' . $query, 'messages', null, [], $hold);
        });
    }

    /**
     * The channels with subscribers or messages, by name, in the field channels of
     * the body; its field next is the option after for the next page.
     *
     * @param array<string, mixed> $options prefix, after, limit (at most 1,000)
     */
    public function channels(array $options = []): Result
    {
        return $this->guard('channels', function () use ($options): Result {
            return self::unknown($options, ['prefix', 'after', 'limit'])
                ?? $this->send('/channels?' . http_build_query($options, '', '&'), 'channels');
        });
    }

    /**
     * One channel, in the body: subscribers, messages, bytes, and the cursors
     * oldest and newest if there are messages.
     */
    public function channel(string $channel): Result
    {
        return $this->guard('channel', function () use ($channel): Result {
            return self::nameless($channel) ?? $this->send('/channels/' . rawurlencode($channel), 'channel');
        });
    }

    /**
     * The members of a channel: the body has count, anonymous (connections without
     * a name) and members, by client, each with client and, if it has one, info;
     * its field next is the option after for the next page.
     *
     * @param array<string, mixed> $options after, limit (default 100, at most 1,000)
     */
    public function presence(string $channel, array $options = []): Result
    {
        return $this->guard('presence', function () use ($channel, $options): Result {
            return self::unknown($options, ['after', 'limit'])
                ?? self::nameless($channel)
                ?? $this->send('/channels/' . rawurlencode($channel) . '/presence?' . http_build_query($options, '', '&'), 'members');
        });
    }

    /**
     * Ends all connections of a client, on every transport, and keeps it away for
     * a while, for example after a logout or a ban. The field disconnected of the
     * body is the number of connections; 0 is not an error.
     *
     * @param string|int|array<string|int> $client the name that it sends with client=; or several, up to 1,000
     * @param int|string|null $for how long: seconds, or a duration such as '10m'; 0
     *   allows it to reconnect at once, null is the setting of the server (60 seconds)
     */
    public function disconnect($client, $for = null): Result
    {
        return $this->guard('disconnect', function () use ($client, $for): Result {
            $clients = array_values(array_map('strval', (array) $client));
            if ($clients === [] || in_array('', $clients, true)) {
                return Result::failed('no_client', 'name the client, or the clients as an array');
            }
            $body = ['client' => $clients] + ($for === null ? [] : ['for' => $for]);
            return $this->send('/disconnect', 'disconnected', self::text($body), ['Content-Type: application/json']);
        });
    }

    /**
     * Revokes tokens: of a user, or one by its jti. Connections that have them end within a
     * second, and the server refuses the tokens until they have expired.
     *
     * @param string|int|array<string|int>|null $sub all tokens of this user, or of these users
     * @param string|array<string>|null $jti this token, or these
     * @param int|null $before only the tokens of sub that were issued before it, in seconds since 1970; default: now
     */
    public function revoke($sub = null, $jti = null, ?int $before = null): Result
    {
        return $this->guard('revoke', function () use ($sub, $jti, $before): Result {
            $body = [];
            foreach (['sub' => $sub, 'jti' => $jti] as $name => $value) {
                if ($value !== null) {
                    $body[$name] = array_values(array_map('strval', (array) $value));
                }
            }
            $names = array_merge([], ...array_values($body));
            if ($names === [] || in_array('', $names, true)) {
                return Result::failed('no_client', 'name the user (sub) or the token (jti) to revoke');
            }
            return $this->send('/revoke', 'disconnected', self::text($body + ($before === null ? [] : ['before' => $before])), ['Content-Type: application/json']);
        });
    }

    /** Without the key, which must be in no dump. */
    public function __debugInfo(): array
    {
        return ['url' => $this->base];
    }

    /**
     * Turns every error in $work into a result, and logs it.
     *
     * @param callable(): Result $work
     */
    private function guard(string $call, callable $work): Result
    {
        try {
            $result = $this->fault !== null ? clone $this->fault : $work();
        } catch (\Throwable $e) { // such as data that cannot be JSON
            $result = Result::failed('bad_data', $e->getMessage());
        }
        if ($result->ok) {
            return $result;
        }
        $logger = $this->options['logger'] ?? null;
        if (is_object($logger)) {
            try {
                // Not every logger fills in placeholders: the message is complete.
                $logger->warning("Peal: $call failed: $result->code: $result->message", [
                    'call' => $call, 'code' => $result->code, 'status' => $result->status,
                ]);
            } catch (\Throwable $e) {
                // A failing logger must not break the page: return the result.
            }
        }
        if (!empty($this->options['throw'])) {
            throw new PealException($result);
        }
        return $result;
    }

    /**
     * Publishes to channels, or to a user.
     *
     * @param array<string|int> $names
     * @param mixed $data
     * @param array<string, mixed> $options
     */
    private function post(string $parameter, array $names, $data, array $options): Result
    {
        $fault = self::unknown($options, ['event', 'binary', 'idempotency_key', 'exclude']);
        if ($fault !== null) {
            return $fault;
        }
        $query = '';
        foreach ($names as $name) {
            $query .= "&$parameter=" . rawurlencode((string) $name);
        }
        foreach (['event', 'exclude'] as $option) {
            if (($options[$option] ?? '') !== '') {
                $query .= "&$option=" . rawurlencode($options[$option]);
            }
        }
        $key = self::key($options);
        $result = $this->send('/publish?' . substr($query, 1), 'cursor', self::text($data), [
            'Content-Type: ' . (empty($options['binary']) ? 'text/plain; charset=utf-8' : 'application/octet-stream'),
            'Idempotency-Key: ' . $key,
        ]);
        $result->idempotencyKey = $key;
        return $result;
    }

    /** Sends the key with each request, from now on. */
    private function authorize(
        #[\SensitiveParameter]
        string $key
    ): ?Result {
        if ($key === '') {
            return null;
        }
        if (preg_match('/^[\x21-\x7E]+$/D', $key) !== 1) { // a line break would begin a header of its own
            return Result::failed('bad_option', 'the key (argument key, or PEAL_KEY) has characters that no key has, such as a space or a line break');
        }
        if (preg_grep('/^authorization\s*:/i', (array) ($this->options['headers'])) !== []) {
            return Result::failed('bad_option', 'both a key (argument key, or PEAL_KEY) and the option headers send Authorization: use one of them');
        }
        $this->authorization = ["Authorization: Bearer $key"];
        return null;
    }

    /**
     * Sends a request, and once more if that may succeed and there is time for it.
     * Both have the same idempotency key. The server may take $hold seconds to
     * respond, beyond the timeout.
     *
     * @param string[] $headers
     */
    private function send(string $path, string $has, ?string $body = null, array $headers = [], int $hold = 0): Result
    {
        $end = self::now() + $hold + (float) $this->options['timeout'];
        $result = $this->attempt($path, $has, $body, $headers, $end);
        if (!in_array($result->status, self::PASSING, true) && !in_array($result->code, ['unreachable', 'timeout'], true)) {
            return $result;
        }
        $pause = $result->retryAfter !== null ? 1000000 * $result->retryAfter : random_int(...self::PAUSE);
        if (self::now() + $pause / 1e6 >= $end) {
            return $result;
        }
        usleep($pause);
        return $this->attempt($path, $has, $body, $headers, $end);
    }

    /**
     * Sends a request and reads its response, until $end (on the clock of now) at most.
     *
     * @param string[] $headers
     */
    private function attempt(string $path, string $has, ?string $body, array $headers, float $end): Result
    {
        $response = '';
        $retryAfter = null;
        $left = max(0.001, $end - self::now());
        $curl = $this->handle();
        curl_setopt_array($curl, [
            CURLOPT_URL => $this->base . $path,
            CURLOPT_CONNECTTIMEOUT_MS => (int) ceil(1000 * min($left, max(0.001, (float) $this->options['connect_timeout']))),
            CURLOPT_TIMEOUT_MS => (int) ceil(1000 * $left),
            // "Expect:" keeps curl from waiting a second for a 100 Continue.
            CURLOPT_HTTPHEADER => array_merge(['Expect:', 'Accept: application/json'], $this->authorization, (array) $this->options['headers'], $headers),
            CURLOPT_HEADERFUNCTION => static function ($curl, string $line) use (&$retryAfter): int {
                if (preg_match('/^retry-after:\s*(\d{1,6})\s*$/i', $line, $found) === 1) {
                    $retryAfter = (int) $found[1];
                }
                return strlen($line);
            },
            CURLOPT_WRITEFUNCTION => static function ($curl, string $part) use (&$response): int {
                if (strlen($response) + strlen($part) > self::MAX_RESPONSE) {
                    return -1; // ends the transfer
                }
                $response .= $part;
                return strlen($part);
            },
        ] + ($body === null ? [] : [CURLOPT_POST => true, CURLOPT_POSTFIELDS => $body]));

        if (curl_exec($curl) === false) {
            $codes = [CURLE_OPERATION_TIMEDOUT => 'timeout', CURLE_WRITE_ERROR => 'bad_answer'];
            return Result::failed($codes[curl_errno($curl)] ?? 'unreachable', curl_error($curl));
        }
        return Result::answered((int) curl_getinfo($curl, CURLINFO_RESPONSE_CODE), $response, $retryAfter, $has);
    }

    /**
     * The one handle, without the options of the last request; its connection stays
     * open.
     *
     * @return resource|\CurlHandle
     */
    private function handle()
    {
        if ($this->curl === null || $this->process !== getmypid()) {
            $this->process = (int) getmypid();
            $this->curl = curl_init();
        }
        curl_reset($this->curl);
        curl_setopt_array($this->curl, [
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_1_1,
            CURLOPT_NOSIGNAL => true, // otherwise a timeout below a second expires at once
        ]);
        if ($this->socket !== '') {
            curl_setopt($this->curl, CURLOPT_UNIX_SOCKET_PATH, $this->socket);
        }
        if (preg_match('~^https?://(localhost|127\.[\d.]+|\[::1\])(:|/|$)~i', $this->base) === 1) {
            curl_setopt($this->curl, CURLOPT_NOPROXY, '*'); // the environment's proxy cannot reach this machine
        }
        return $this->curl;
    }

    /**
     * The text to publish for data.
     *
     * @param mixed $data
     */
    private static function text($data): string
    {
        return is_string($data) ? $data : json_encode(
            $data,
            JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR
        );
    }

    /**
     * A message in the form of a batch.
     *
     * @param array<string, mixed> $message
     * @return array<string, mixed>
     */
    private static function batched(array $message): array
    {
        if (!array_key_exists('data', $message)) {
            throw new \InvalidArgumentException('a message of the batch has no data');
        }
        $data = self::text($message['data']);
        $binary = !empty($message['binary']) || preg_match('//u', $data) !== 1;
        $message['idempotency_key'] = self::key($message);
        unset($message['binary'], $message['data']);
        $message['channel'] = is_array($message['channel']) ? array_values($message['channel']) : $message['channel'];
        return $message + ($binary ? ['data_base64' => base64_encode($data)] : ['data' => $data]);
    }

    /**
     * The idempotency key of the options, or a new one.
     *
     * @param array<string, mixed> $options
     */
    private static function key(array $options): string
    {
        $key = (string) ($options['idempotency_key'] ?? bin2hex(random_bytes(16)));
        if (preg_match('/^[\x21-\x7E]{1,200}$/D', $key) !== 1) { // a line break would begin a header of its own
            throw new \InvalidArgumentException('an idempotency key is 1 to 200 printable ASCII characters without spaces');
        }
        return $key;
    }

    /** Seconds of a monotonic clock. */
    private static function now(): float
    {
        return hrtime(true) / 1e9;
    }

    /**
     * Refuses a call without a channel: the server would use its channel "main".
     *
     * @param mixed $channel
     */
    private static function nameless($channel): ?Result
    {
        return $channel === null || $channel === '' || $channel === []
            ? Result::failed('no_channel', 'name the channel, or the channels as an array')
            : null;
    }

    /**
     * @param array<string, mixed> $options
     * @param string[] $known
     */
    private static function unknown(array $options, array $known): ?Result
    {
        $unknown = array_diff(array_keys($options), $known);
        return $unknown === [] ? null : Result::failed(
            'bad_option',
            'unknown option "' . implode('", "', $unknown) . '"; the options are ' . implode(', ', $known)
        );
    }
}
