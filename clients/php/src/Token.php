<?php

declare(strict_types=1);

namespace Peal;

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
