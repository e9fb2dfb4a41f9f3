// Signs tokens as an application does, and prints them as JSON: see interop_test.go.
import { SignJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose';

const [secret, expires] = process.argv.slice(2);
const peal = { subscribe: ['orders.*', 'a\\*b'], publish: ['chat'], info: { name: 'Zoë 🦊' } };

const sign = (alg, key, kid) =>
  new SignJWT({ peal })
    .setProtectedHeader({ alg, typ: 'JWT', ...(kid && { kid }) })
    .setSubject('42')
    .setIssuer('https://login.example')
    .setAudience(['peal', 'other'])
    .setJti('jose-1')
    .setIssuedAt(Number(expires) - 3600)
    .setNotBefore(Number(expires) - 3600)
    .setExpirationTime(Number(expires))
    .sign(key);

const tokens = { HS256: await sign('HS256', new TextEncoder().encode(secret)) };
const keys = [];
const pem = {};
for (const alg of ['RS256', 'ES256', 'EdDSA']) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  keys.push({ ...(await exportJWK(publicKey)), kid: `kid of ${alg}`, alg, use: 'sig' });
  pem[alg] = await exportSPKI(publicKey);
  tokens[alg] = await sign(alg, privateKey, `kid of ${alg}`);
}
console.log(JSON.stringify({ tokens, pem, jwks: { keys } }));
