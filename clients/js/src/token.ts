import type { Options, PealError } from './types.js';
import { denied, lost, unauthorised } from './wire.js';

/** The token, requested once for all callers that wait for it. */
export class Tokens {
  token?: string;
  private readonly source: Options['getToken'];
  private waiting?: Promise<void>;
  /** The token that the server has refused, and why. */
  private bad?: string;
  private why?: string;

  constructor({ token, getToken }: Options) {
    this.source = getToken ?? (token ? async () => token : undefined);
  }

  /**
   * Resolves when `token` is available; fresh: when a new one is. Rejects with the code
   * 'unauthorised' if there is none for this user, with 'network' if getToken failed.
   */
  get(fresh = false): Promise<void> {
    if (!this.source || (this.token && !fresh)) return Promise.resolve();
    return (this.waiting ??= this.request(this.source).finally(() => (this.waiting = undefined)));
  }

  /** The server has refused this token: get() requests another one, and does not accept the same again. */
  refuse(token: string, error: PealError): void {
    if (token !== this.token) return; // it was replaced meanwhile
    this.bad = token;
    this.why = error.message;
    this.token = undefined;
  }

  private async request(source: NonNullable<Options['getToken']>): Promise<void> {
    let token: string | null = null;
    try {
      token = await source();
    } catch (e) {
      if ((e as PealError)?.code !== unauthorised) throw lost('getToken: ' + e);
    }
    // Other characters are in no JWT, and a WebSocket cannot carry them.
    if (!/^[\w.-]+$/.test(token ?? '')) throw denied('no token');
    if (token === this.bad) throw denied(this.why!);
    this.token = token!;
  }
}
