<?php

declare(strict_types=1);

namespace Peal;

/**
 * A JSON Web Token (RFC 7519) signed with HMAC-SHA-256, which a browser sends to the
 * server. It names the user and the channels that the user may access.
 */
final class Token
{
    /**
     * Signs the claims, for example
     * ['sub' => 'user-7', 'exp' => time() + 3600, 'channels' => ['chat.*']].
     *
     * The secret should be 32 random bytes or more (RFC 7518, section 3.2).
     *
     * @param array<string, mixed> $claims
     * @throws \InvalidArgumentException if the secret is empty: anyone could sign
     * @throws \JsonException if the claims are not UTF-8
     */
    public static function sign(array $claims, string $secret): string
    {
        if ($secret === '') {
            throw new \InvalidArgumentException('sign a token: the secret must not be empty');
        }
        $signed = self::encode('{"alg":"HS256","typ":"JWT"}') . '.'
            . self::encode(json_encode((object) $claims, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR));
        return $signed . '.' . self::encode(hash_hmac('sha256', $signed, $secret, true));
    }

    /** base64url without padding: RFC 7515, section 2. */
    private static function encode(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}
