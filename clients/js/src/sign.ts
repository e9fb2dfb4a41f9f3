// For backends in Node ≥ 20, Deno, Bun and workers at the edge: peal-client/sign.

/** The claims of a token. */
export interface Claims {
  /** The name of the user, 1 to 194 bytes. */
  sub: string | number;
  /** Seconds since 1970. Default: an hour after iat. */
  exp?: number;
  /** Default: now. */
  iat?: number;
  nbf?: number;
  /** By which the token can be revoked. Default: random. */
  jti?: string;
  iss?: string;
  aud?: string | string[];
  /** What the token grants: lists of patterns, and what other members of a channel see. */
  peal?: { subscribe?: string[]; publish?: string[]; presence?: string[]; info?: object };
}

/**
 * Signs a token with HS256. The secret is one that the server has as token-secret, of at least
 * 32 bytes. Rejects if the claims or the secret are not usable, and in a browser, where
 * everybody could read the secret.
 */
export async function sign(claims: Claims, secret: string, kid?: string): Promise<string> {
  if (globalThis.document) throw fault('not in a browser: everybody could read the secret');
  const bytes = new TextEncoder();
  const secretBytes = bytes.encode(secret);
  if (secretBytes.length < 32) throw fault('the secret must have at least 32 bytes; create one with: openssl rand -base64 48');
  const json = (value: object) => base64url(bytes.encode(JSON.stringify(value)));
  const signed = json({ alg: 'HS256', typ: 'JWT', kid }) + '.' + json(complete(claims));
  const key = await crypto.subtle.importKey('raw', secretBytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return signed + '.' + base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes.encode(signed))));
}

/**
 * The pattern that matches only this value: `orders.${escapePattern(customer)}.*`.
 * Without it, a customer named "*" could read the orders of all others.
 */
export function escapePattern(value: string | number): string {
  return String(value).replace(/[*\\]/g, '\\$&');
}

const members = ['subscribe', 'publish', 'presence', 'info'];

/** Checks the claims, and adds those that have a default. */
function complete(claims: Claims): object {
  const sub = String(claims.sub ?? '');
  const length = new TextEncoder().encode(sub).length;
  if (!length || length > 194) throw fault('sub must be the name of the user, of 1 to 194 bytes');
  const iat = claims.iat ?? Math.floor(Date.now() / 1000);
  const all = { iat, exp: iat + 3600, jti: crypto.randomUUID(), ...claims, sub };
  for (const name of ['iat', 'exp', 'nbf'] as const) {
    if (!Number.isInteger(all[name] ?? 0)) throw fault(`${name} must be an integer, in seconds since 1970`);
  }
  for (const [name, value] of Object.entries(claims.peal ?? {})) {
    if (!members.includes(name)) throw fault(`peal has the unknown member "${name}"; known are ${members.join(', ')}`);
    const ok = name === 'info' ? value && typeof value === 'object' && !Array.isArray(value) : Array.isArray(value) && value.every((p) => typeof p === 'string');
    if (value !== undefined && !ok) throw fault(`peal.${name} must be ${name === 'info' ? 'an object' : 'an array of patterns'}`);
  }
  return all;
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function fault(message: string): Error {
  return new TypeError('sign a token: ' + message);
}
