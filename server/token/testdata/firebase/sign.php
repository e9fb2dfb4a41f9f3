<?php
// Signs tokens with firebase/php-jwt as an application does, and prints them as JSON: see
// interop_test.go.
//
//   php sign.php SECRET EXPIRES [DIRECTORY]
//
// DIRECTORY has JWT.php; without it that of Debian's package php-firebase-php-jwt.
use Firebase\JWT\JWT;

[, $secret, $expires] = $argv;
require ($argv[3] ?? '/usr/share/php/Firebase/JWT') . '/JWT.php';

$claims = [
    'iss' => 'https://login.example',
    'aud' => ['peal', 'other'],
    'sub' => '42',
    'jti' => 'firebase-1',
    'iat' => $expires - 3600,
    'nbf' => $expires - 3600,
    'exp' => (int) $expires,
    'peal' => ['subscribe' => ['orders.*', 'a\*b'], 'publish' => ['chat'], 'info' => ['name' => 'Zoë 🦊']],
];

$rsa = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_RSA, 'private_key_bits' => 2048]);
$ec = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
$ed = sodium_crypto_sign_keypair();
$base64url = fn (string $bytes): string => JWT::urlsafeB64Encode($bytes);
$details = fn ($key): array => openssl_pkey_get_details($key);

echo json_encode([
    'tokens' => [
        'HS256' => JWT::encode($claims, $secret, 'HS256'),
        'RS256' => JWT::encode($claims, $rsa, 'RS256', 'kid of RS256'),
        'ES256' => JWT::encode($claims, $ec, 'ES256', 'kid of ES256'),
        'EdDSA' => JWT::encode($claims, base64_encode(sodium_crypto_sign_secretkey($ed)), 'EdDSA', 'kid of EdDSA'),
    ],
    'pem' => ['RS256' => $details($rsa)['key'], 'ES256' => $details($ec)['key']],
    'jwks' => ['keys' => [
        ['kty' => 'RSA', 'kid' => 'kid of RS256', 'n' => $base64url($details($rsa)['rsa']['n']), 'e' => $base64url($details($rsa)['rsa']['e'])],
        ['kty' => 'EC', 'kid' => 'kid of ES256', 'crv' => 'P-256', 'x' => $base64url($details($ec)['ec']['x']), 'y' => $base64url($details($ec)['ec']['y'])],
        ['kty' => 'OKP', 'kid' => 'kid of EdDSA', 'crv' => 'Ed25519', 'x' => $base64url(sodium_crypto_sign_publickey($ed))],
    ]],
], JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE), "\n";
