<?php

/*
 * The PHP client of Peal in one file: require 'peal.php'. PHP 7.4 or later with
 * the extensions curl and json. It equals the package peal/peal, and is generated
 * from its src/ by "go test ./server/endtoend -run SingleFile -update-php".
 *
 * SPDX-License-Identifier: Apache-2.0
 */

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

/**
 * The result of a request. Check ok first; code is for programs, message for people.
 */
final class Result
{
    /** The server has done everything that was requested. */
    public bool $ok = false;

    /**
     * The position after the published message, or after the requested ones: a
     * browser that begins with this cursor misses nothing and receives nothing twice.
     */
    public ?string $cursor = null;

    /**
     * A code of the server (docs/http.md), or one of the client's: unreachable,
     * timeout, bad_answer, bad_data, bad_option, no_channel, no_client, no_curl.
     */
    public ?string $code = null;

    /** A sentence that states what to change. */
    public ?string $message = null;

    /** Seconds after which to try again, from the server's Retry-After; null without it. */
    public ?int $retryAfter = null;

    /** Of HTTP; 0 if there was no response. */
    public int $status = 0;

    /**
     * The key with which the message was published. It is safe to publish the message
     * again with this key, for example from a queue: the server accepts it once.
     */
    public ?string $idempotencyKey = null;

    /** @var Result[] of publishBatch, one for each message, in their order */
    public array $results = [];

    /**
     * @var array<int, array<string, mixed>> of history: channel, cursor, time
     * (milliseconds since 1970), event (or null), data (the published bytes), binary
     */
    public array $messages = [];

    /** @var array<string, mixed> the whole response */
    public array $body = [];

    public static function failed(string $code, string $message): self
    {
        $result = new self();
        $result->code = $code;
        $result->message = $message;
        return $result;
    }

    /**
     * Reads a response: {"error":{…}}, or an object that has the field $has.
     */
    public static function answered(int $status, string $body, ?int $retryAfter, string $has): self
    {
        try {
            $result = new self();
            $result->read(json_decode($body, true), $has);
            if ($result->ok && $status !== 200) {
                throw new \UnexpectedValueException();
            }
        } catch (\Throwable $e) { // mostly a TypeError: the response has another form
            $result = self::failed('bad_answer', "the response (status $status) is not JSON of Peal: check the URL, and the proxy in front of Peal if there is one");
        }
        $result->status = $status;
        $result->retryAfter = $retryAfter;
        return $result;
    }

    /**
     * Copies a response, or one of the results of a batch.
     *
     * @param array<string, mixed> $body
     */
    private function read(array $body, string $has): void
    {
        $this->body = $body;
        if (isset($body['error'])) {
            $this->code = $body['error']['code'];
            $this->message = $body['error']['message'];
            return;
        }
        $this->ok = true;
        $this->cursor = $body['cursor'] ?? null;
        if (!isset($body[$has])) {
            throw new \UnexpectedValueException();
        }
        if ($has === 'messages') {
            $this->messages = array_map([self::class, 'readable'], $body['messages']);
        } elseif ($has === 'results') {
            array_map([$this, 'add'], $body['results']);
        }
    }

    /**
     * Adds the result of one message of a batch. The code and message of the first
     * failure are those of the whole batch.
     *
     * @param array<string, mixed> $body
     */
    private function add(array $body): void
    {
        $result = new self();
        $result->read($body, 'cursor');
        $this->results[] = $result;
        if ($result->ok) {
            $this->cursor = $result->cursor;
        } elseif ($this->ok) {
            $this->ok = false;
            $this->code = $result->code;
            $this->message = $result->message;
        }
    }

    /**
     * One message with its bytes in data, whether the server sent text or base64.
     *
     * @param array<string, mixed> $message
     * @return array<string, mixed>
     */
    private static function readable(array $message): array
    {
        $binary = isset($message['data_base64']);
        if ($binary) {
            $message['data'] = (string) base64_decode($message['data_base64'], true);
            unset($message['data_base64']);
        }
        return ['event' => $message['event'] ?? null, 'binary' => $binary] + $message;
    }
}

/**
 * An error, thrown only by a client with the option throw. Its message begins with
 * the code; the result has all other details.
 */
final class PealException extends \RuntimeException
{
    public Result $result;

    public function __construct(Result $result)
    {
        parent::__construct($result->code . ': ' . $result->message, $result->status);
        $this->result = $result;
    }
}

/**
 * Signs tokens: JSON Web Tokens (RFC 7519), which a browser sends to the server. A
 * token names its user, and the channels that the user may access.
 */
final class Token
{
    /** The longest names of users, in bytes: the channel $user:NAME has at most 200. */
    private const MAX_SUBJECT = 194;

    /** The lists of patterns in the claim peal, and info. */
    private const PEAL = ['subscribe', 'publish', 'presence', 'info'];

    /**
     * Signs the claims, for example
     * ['sub' => '42', 'peal' => ['subscribe' => ['orders.42.*'], 'presence' => ['chat'], 'info' => ['name' => 'Ann']]].
     *
     * sub is required. Without exp the token holds for an hour; iat and jti, by which
     * it can be revoked, are added. subscribe, publish and presence of peal are lists
     * of patterns, in which * stands for any characters: insert values by escape(). info is
     * what other members of a channel see.
     *
     * @param array<string, mixed> $claims
     * @param string $key the secret that the server has as token-secret, at least 32 bytes;
     *   for RS256 and ES256 a private key in PEM, whose public key is the server's token-key
     * @param string $alg HS256, RS256 or ES256
     * @param string|null $kid the name of the key in a JWKS
     * @throws \InvalidArgumentException if the claims or the key are not usable
     * @throws \JsonException if the claims are not UTF-8
     */
    public static function sign(
        array $claims,
        #[\SensitiveParameter]
        string $key,
        string $alg = 'HS256',
        ?string $kid = null
    ): string {
        $header = ['alg' => $alg, 'typ' => 'JWT'] + ($kid === null ? [] : ['kid' => $kid]);
        $signed = self::encode(self::json($header)) . '.' . self::encode(self::json(self::complete($claims)));
        return $signed . '.' . self::encode(self::signature($signed, $key, $alg));
    }

    /**
     * Returns a pattern that matches only this value, for example
     * 'orders.' . Token::escape($customer) . '.*'. Without it, a customer named "*" could
     * read the orders of all others.
     *
     * @param string|int $value
     */
    public static function escape($value): string
    {
        return strtr((string) $value, ['\\' => '\\\\', '*' => '\\*']);
    }

    /**
     * Checks the claims, and adds those that have a default.
     *
     * @param array<string, mixed> $claims
     * @return array<string, mixed>
     */
    private static function complete(array $claims): array
    {
        $sub = $claims['sub'] ?? '';
        if (is_int($sub)) {
            $claims['sub'] = $sub = (string) $sub;
        }
        if (!is_string($sub) || $sub === '' || strlen($sub) > self::MAX_SUBJECT) {
            throw new \InvalidArgumentException('sign a token: sub must be the name of the user, a string of 1 to ' . self::MAX_SUBJECT . ' bytes');
        }
        $claims += ['iat' => time(), 'jti' => bin2hex(random_bytes(12))];
        $claims += ['exp' => $claims['iat'] + 3600];
        foreach (['iat', 'exp', 'nbf'] as $time) {
            if (!is_int($claims[$time] ?? 0)) {
                throw new \InvalidArgumentException("sign a token: $time must be an integer, in seconds since 1970");
            }
        }
        if (isset($claims['peal'])) {
            $claims['peal'] = self::grants($claims['peal']);
        }
        return $claims;
    }

    /**
     * Checks the claim peal, and returns it as the object that it is in JSON.
     *
     * @param mixed $peal
     */
    private static function grants($peal): \stdClass
    {
        $grants = new \stdClass();
        foreach ((array) $peal as $name => $value) {
            if (!in_array($name, self::PEAL, true)) {
                throw new \InvalidArgumentException("sign a token: peal has the unknown member \"$name\"; known are " . implode(', ', self::PEAL));
            }
            if ($name === 'info') {
                $grants->info = (object) $value;
                continue;
            }
            if (!is_array($value) || array_filter($value, 'is_string') !== $value) {
                throw new \InvalidArgumentException("sign a token: peal.$name must be an array of patterns");
            }
            $grants->$name = array_values($value);
        }
        return $grants;
    }

    private static function signature(
        string $signed,
        #[\SensitiveParameter]
        string $key,
        string $alg
    ): string {
        if ($alg === 'HS256') {
            if (strlen($key) < 32) {
                throw new \InvalidArgumentException('sign a token: the secret must have at least 32 bytes; create one with: openssl rand -base64 48');
            }
            if (strpos($key, '-----BEGIN ') === 0) {
                throw new \InvalidArgumentException('sign a token: HS256 needs a secret, and this is a key in PEM: choose RS256 or ES256');
            }
            return hash_hmac('sha256', $signed, $key, true);
        }
        if ($alg !== 'RS256' && $alg !== 'ES256') {
            throw new \InvalidArgumentException("sign a token: unknown algorithm \"$alg\": must be HS256, RS256 or ES256");
        }
        $private = self::privateKey($key, $alg);
        if (!openssl_sign($signed, $signature, $private, OPENSSL_ALGO_SHA256)) {
            throw new \InvalidArgumentException('sign a token: openssl cannot sign with this key');
        }
        return $alg === 'RS256' ? $signature : self::concatenated($signature);
    }

    /**
     * @return \OpenSSLAsymmetricKey|resource
     */
    private static function privateKey(
        #[\SensitiveParameter]
        string $key,
        string $alg
    ) {
        if (!function_exists('openssl_sign')) {
            throw new \InvalidArgumentException("sign a token: $alg needs the extension openssl");
        }
        $private = strpos($key, '-----BEGIN ') === 0 ? openssl_pkey_get_private($key) : false;
        $details = $private ? openssl_pkey_get_details($private) : [];
        $fits = $alg === 'RS256'
            ? isset($details['rsa']) && $details['bits'] >= 2048
            : ($details['ec']['curve_name'] ?? '') === 'prime256v1';
        if (!$private || !$fits) {
            throw new \InvalidArgumentException("sign a token: $alg needs a private key in PEM: " . ($alg === 'RS256' ? 'RSA of at least 2048 bits' : 'EC on the curve P-256'));
        }
        return $private;
    }

    /**
     * The two numbers of an ECDSA signature, 32 bytes each (RFC 7518, section 3.4),
     * from the form of openssl: SEQUENCE {INTEGER, INTEGER} in DER.
     */
    private static function concatenated(string $der): string
    {
        $numbers = '';
        for ($at = 2, $i = 0; $i < 2; $i++) {
            $length = ord($der[$at + 1]);
            $numbers .= str_pad(ltrim(substr($der, $at + 2, $length), "\0"), 32, "\0", STR_PAD_LEFT);
            $at += 2 + $length;
        }
        return $numbers;
    }

    /** @param array<string, mixed> $value */
    private static function json(array $value): string
    {
        return json_encode((object) $value, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
    }

    /** base64url without padding: RFC 7515, section 2. */
    private static function encode(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}

/**
 * Publishes through the Redis server that holds the log of several Peal nodes: it adds
 * an entry to the inbox of the log, and the nodes move it. The entry can be part of your
 * own transaction (MULTI … EXEC): then the message is published if, and only if, the rest
 * of the transaction happened.
 *
 * It uses your connection, of the extension redis (phpredis) or of Predis, and sends only XADD.
 * What a server would refuse throws an InvalidArgumentException before anything is sent; what
 * your connection throws, it throws.
 */
final class RedisPublisher
{
    /** @var \Redis|\Predis\ClientInterface|object */
    private $redis;

    private string $inbox;

    /**
     * @param \Redis|\Predis\ClientInterface|object $redis your connection, also within multi() or pipeline()
     * @param string $name the name of the log, "peal" if the address of --log has none
     */
    public function __construct($redis, string $name = 'peal')
    {
        if (!is_object($redis) || !method_exists($redis, 'rawCommand') && !method_exists($redis, 'executeCommand')) {
            throw new \InvalidArgumentException('give a connection of the extension redis, or of Predis');
        }
        $this->redis = $redis;
        $this->inbox = '{' . $name . '}:inbox';
    }

    /**
     * Publishes data on a channel, or on several.
     *
     * @param string|string[] $channel
     * @param mixed $data a string is published as it is, anything else as its JSON
     * @param array<string, mixed> $options event (its name), key (of idempotency: the same key is
     *   published once), ttl (milliseconds in the history), binary (bool), exclude (a session)
     * @return string|null the id of the entry in the inbox; null within a transaction or pipeline, where
     *   the result comes from exec()
     */
    public function publish($channel, $data, array $options = []): ?string
    {
        return $this->add('channel', (array) $channel, $data, $options);
    }

    /**
     * Publishes data to a user, on all connections that have a token with this sub.
     *
     * @param string|int $sub
     * @param mixed $data as for publish
     * @param array<string, mixed> $options as for publish
     */
    public function publishToUser($sub, $data, array $options = []): ?string
    {
        return $this->add('user', [(string) $sub], $data, $options);
    }

    /**
     * The arguments of XADD.
     *
     * @param string $field channel or user
     * @param array<int, string> $names
     * @param mixed $data
     * @param array<string, mixed> $options
     * @return string[]
     */
    private function arguments(string $field, array $names, $data, array $options): array
    {
        $arguments = [$this->inbox, '*'];
        foreach ($names as $name) {
            if (!is_string($name) || $name === '' || strlen($name) > 200) {
                throw new \InvalidArgumentException("a $field is a text of 1 to 200 bytes");
            }
            array_push($arguments, $field, $name);
        }
        if ($names === []) {
            throw new \InvalidArgumentException('name the channel, or the channels as an array');
        }
        array_push($arguments, 'data', is_string($data) ? $data : json_encode(
            $data,
            JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR
        ));
        foreach ($options as $option => $value) {
            if (!in_array($option, ['event', 'key', 'ttl', 'binary', 'exclude'], true)) {
                throw new \InvalidArgumentException("unknown option \"$option\"; the options are event, key, ttl, binary, exclude");
            }
            if ($option === 'ttl' && (!is_int($value) || $value < 1)) {
                throw new \InvalidArgumentException('ttl is a number of milliseconds, at least 1');
            }
            if ($option !== 'binary' && ((string) $value === '' || strlen((string) $value) > 200)) {
                throw new \InvalidArgumentException("$option is a text of 1 to 200 bytes");
            }
            array_push($arguments, $option, $option === 'binary' ? (string) (int) (bool) $value : (string) $value);
        }
        return $arguments;
    }

    /**
     * @param array<int, string> $names
     * @param mixed $data
     * @param array<string, mixed> $options
     */
    private function add(string $field, array $names, $data, array $options): ?string
    {
        $arguments = $this->arguments($field, $names, $data, $options);
        // The raw command: a prefix or serializer of the connection must not change the entry.
        if (method_exists($this->redis, 'rawCommand')) {
            $this->redis->clearLastError();
            $id = $this->redis->rawCommand('XADD', ...$arguments);
            if ($id === false) {
                throw new \RuntimeException('XADD ' . $this->inbox . ': ' . ($this->redis->getLastError() ?: 'the connection is lost'));
            }
        } else {
            $id = $this->redis->executeCommand(\Predis\Command\RawCommand::create('XADD', ...$arguments));
        }
        return is_string($id) && $id !== '' && $id[0] !== 'Q' ? $id : null; // Predis within a transaction: QUEUED
    }
}
