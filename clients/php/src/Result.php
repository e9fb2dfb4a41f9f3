<?php

declare(strict_types=1);

namespace Peal;

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
