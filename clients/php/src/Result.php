<?php

declare(strict_types=1);

namespace Peal;

/**
 * What became of a request. Ask ok first; code says to a program, message to a
 * person, what is wrong.
 */
final class Result
{
    /** The server did all that was asked. */
    public bool $ok = false;

    /**
     * Where the published message, or what was asked for, ends: a browser that
     * begins with this cursor misses nothing and sees nothing twice.
     */
    public ?string $cursor = null;

    /**
     * A code of the server (docs/http.md), or one of the client's: unreachable,
     * timeout, bad_answer, bad_data, bad_option, no_channel, no_client, no_curl.
     */
    public ?string $code = null;

    /** A sentence that says what to change. */
    public ?string $message = null;

    /** Seconds after which the server wants to be asked again; null if it did not say. */
    public ?int $retryAfter = null;

    /** Of HTTP; 0 if there was no answer. */
    public int $status = 0;

    /**
     * Under which the message was published. Publishing it once more under this
     * key, from a queue for instance, is safe: the server takes it once.
     */
    public ?string $idempotencyKey = null;

    /** @var Result[] of publishBatch, one for each message, in their order */
    public array $results = [];

    /**
     * @var array<int, array<string, mixed>> of history: channel, cursor, time
     * (milliseconds since 1970), event (or null), data (the published bytes), binary
     */
    public array $messages = [];

    /** @var array<string, mixed> the whole answer as it came */
    public array $body = [];

    public static function failed(string $code, string $message): self
    {
        $result = new self();
        $result->code = $code;
        $result->message = $message;
        return $result;
    }

    /**
     * Reads an answer: {"error":{…}}, or an object that has the field $has.
     */
    public static function answered(int $status, string $body, ?int $retryAfter, string $has): self
    {
        try {
            $result = new self();
            $result->read(json_decode($body, true), $has);
            if ($result->ok && $status !== 200) {
                throw new \UnexpectedValueException();
            }
        } catch (\Throwable $e) { // mostly a TypeError: the answer has another shape
            $result = self::failed('bad_answer', "status $status without Peal's JSON: is it Peal that listens there, or a proxy before it?");
        }
        $result->status = $status;
        $result->retryAfter = $retryAfter;
        return $result;
    }

    /**
     * Takes over what an answer, or one of the results of a batch, says.
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
     * Adds the result of one message of a batch. The first that failed speaks
     * for the whole.
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
     * One message with its bytes in data, whatever way they came.
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
