import { renewAhead } from './limits.js';
import type { Options, Token } from './types.js';
import { PealError } from './types.js';
import { lost, unauthorised } from './wire.js';

/** The token, requested once for all callers that wait for it. */
export class Tokens {
  token?: string;
  private waiting?: Promise<void>;
  private timer?: ReturnType<typeof setTimeout>;
  /** The server has refused this token: if it also refuses the next one, that is final. */
  private refusals = 0;

  /** renew is called when a new token is due; get(true) then returns it. */
  constructor(
    private readonly give: Options['getToken'],
    private readonly renew: () => void,
  ) {}

  /**
   * Resolves when `token` is available. Rejects with the code 'unauthorised' if this
   * user is not allowed, with 'network' if getToken failed.
   */
  get(fresh = false): Promise<void> {
    const source = this.give;
    if (!source || (this.token !== undefined && !fresh)) return Promise.resolve();
    return (this.waiting ??= this.fetch(source).finally(() => (this.waiting = undefined)));
  }

  /** The server refused the token. Returns whether a new one may be accepted. */
  refused(): boolean {
    this.token = undefined;
    return !!this.give && ++this.refusals < 2;
  }

  accepted(): void {
    this.refusals = 0;
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private async fetch(source: NonNullable<Options['getToken']>): Promise<void> {
    let got: string | Token | null;
    try {
      got = await source();
    } catch (e) {
      throw lost('getToken: ' + e);
    }
    if (got === null) throw new PealError(unauthorised, 'getToken gave no token', { final: true });
    const { token, expires } = typeof got === 'string' ? { token: got, expires: undefined } : got;
    this.token = token;
    clearTimeout(this.timer);
    const wait = renewIn(expires ?? expiry(token), Date.now());
    if (wait !== undefined) this.timer = setTimeout(this.renew, wait);
  }
}

/** When to renew a token with that expiry: half a minute before it, or halfway if that is too late. undefined: never. */
export function renewIn(expires: number | undefined, now: number): number | undefined {
  const left = expires! - now;
  // A timer of more than 2^31 ms would fire at once.
  return expires === undefined ? undefined : Math.min(2 ** 31 - 1, Math.max(1_000, left - renewAhead, left / 2));
}

/** The `exp` of a JWT in milliseconds (RFC 7519 §4.1.4); undefined if it is none, or has none. */
export function expiry(token: string): number | undefined {
  try {
    const claims = JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))) as { exp?: number };
    return claims.exp && claims.exp * 1000;
  } catch {
    return undefined;
  }
}
