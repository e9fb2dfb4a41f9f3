// Tokens for backends.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { escapePattern, sign } from '../src/sign.js';
import type { Claims } from '../src/sign.js';

const secret = '0123456789abcdef0123456789abcdef';
const part = (token: string, n: number) => Buffer.from(token.split('.')[n]!, 'base64url').toString();

test('a token is signed as RFC 7515 says, with the claims as they are', async () => {
  const peal = { subscribe: [`orders.${escapePattern('a*b\\c')}.*`], publish: [], presence: ['chät'], info: { name: 'Ann' } };
  const token = await sign({ sub: 42, iat: 1_700_000_000, exp: 1_700_000_600, jti: 'j', iss: 'https://shop', aud: ['peal'], peal }, secret, 'k1');
  const [head, claims, signature] = token.split('.');
  assert.equal(signature, createHmac('sha256', secret).update(`${head}.${claims}`).digest('base64url'));
  assert.equal(part(token, 0), '{"alg":"HS256","typ":"JWT","kid":"k1"}');
  assert.deepEqual(JSON.parse(part(token, 1)), {
    iat: 1_700_000_000, exp: 1_700_000_600, jti: 'j', sub: '42', iss: 'https://shop', aud: ['peal'],
    peal: { subscribe: ['orders.a\\*b\\\\c.*'], publish: [], presence: ['chät'], info: { name: 'Ann' } },
  });
});

test('a token lasts an hour, and has an id', async () => {
  const before = Math.floor(Date.now() / 1000);
  const all = await Promise.all([sign({ sub: 'x' }, secret), sign({ sub: 'x' }, secret)]);
  const [one, two] = all.map((token) => JSON.parse(part(token, 1)) as Required<Claims>);
  assert.ok(one!.iat >= before && one!.iat <= Date.now() / 1000);
  assert.equal(one!.exp - one!.iat, 3600);
  assert.notEqual(one!.jti, two!.jti);
});

test('what the server would refuse is refused, without the secret in the error', async () => {
  for (const [claims, key, says] of [
    [{ sub: 'x' }, secret.slice(1), /at least 32 bytes/],
    [{ sub: 'x' }, '', /at least 32 bytes/],
    [{}, secret, /sub must be/],
    [{ sub: 'ü'.repeat(98) }, secret, /sub must be/],
    [{ sub: 'x', exp: '1700000000' }, secret, /exp must be an integer/],
    [{ sub: 'x', iat: 1.5 }, secret, /iat must be an integer/],
    [{ sub: 'x', peal: { subscibe: [] } }, secret, /unknown member "subscibe"/],
    [{ sub: 'x', peal: { subscribe: 'a' } }, secret, /array of patterns/],
    [{ sub: 'x', peal: { presence: [7] } }, secret, /array of patterns/],
    [{ sub: 'x', peal: { info: 'Ann' } }, secret, /an object/],
  ] as const) {
    await assert.rejects(sign(claims as unknown as Claims, key), (e: Error) => says.test(e.message) && !e.message.includes('abcdef'));
  }
  Object.assign(globalThis, { document: {} });
  await assert.rejects(sign({ sub: 'x' }, secret), /not in a browser/);
  Object.assign(globalThis, { document: undefined });
});
