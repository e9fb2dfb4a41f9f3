<?php

declare(strict_types=1);

namespace Peal;

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
