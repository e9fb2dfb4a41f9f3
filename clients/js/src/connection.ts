import { backoff } from './backoff.js';
import type { Channel } from './channel.js';
import { guard } from './channel.js';
import { Ladder } from './ladder.js';
import { probeCap, probeFirst, stable } from './limits.js';
import type { Host, Link } from './link.js';
import { PollLink } from './poll.js';
import { SocketLink } from './socket.js';
import { StreamLink } from './stream.js';
import { Tokens } from './token.js';
import type { Options, PealError, State, StateDetail, Transport } from './types.js';
import { unauthorised } from './wire.js';

type Direct = Exclude<Transport, 'tab'>;

/**
 * The one connection: it decides which transport to use, when, and what its end
 * means. At most one link is current; beside it there may be a probe, a WebSocket
 * that takes over when it works.
 */
export class Connection implements Host {
  state: State = 'idle';
  error?: PealError;
  /** The transport over which the connection is live. */
  using?: Transport;
  readonly channels = new Map<string, Channel>();
  readonly me: Host['me'];
  /** 16 random bytes in base64url. */
  readonly session = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .slice(0, 22);
  private current?: Link;
  private rung?: Transport;
  private probe?: Link;
  private probes = 0;
  private probeTimer?: ReturnType<typeof setTimeout>;
  private readonly WebSocket?: typeof WebSocket;
  /** Transports to try, the best first. */
  private readonly all: Direct[];
  private readonly ladder: Ladder<Direct>;
  readonly tokens: Tokens;
  private failures = 0;
  /** Tokens that the server refused in a WebSocket, one after another: the second is final. */
  private refusals = 0;
  private liveSince = 0;
  private timer?: ReturnType<typeof setTimeout>;
  /** The server does not allow an attempt before. */
  private notBefore = 0;
  /** Opening waits for a token: a later attempt makes it void. */
  private turn = 0;

  constructor(
    readonly url: string,
    private readonly options: Options,
    /** Returns the link of a tab that does not lead; undefined if this tab holds the connection itself. */
    private readonly follow: () => ((host: Host) => Link) | undefined,
    /** Called when the state or the link has changed. */
    private readonly changed: () => void,
  ) {
    if (PRESENCE) this.me = { client: options.client, info: options.info };
    this.WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.all = (options.transports ?? ['ws', 'sse', 'poll']).filter((t) => t !== 'ws' || this.WebSocket);
    this.ladder = new Ladder(this.all, 'peal:' + url);
    this.tokens = new Tokens(options);
    // visibilitychange bubbles up to the window. Node supports neither.
    for (const event of ['online', 'visibilitychange']) globalThis.addEventListener?.(event, this.poke);
  }

  /** The link that works, if one does. */
  get working(): Link | undefined {
    return this.state === 'live' || !this.current?.publish ? this.current : undefined;
  }

  /** Starts the connection if there is something to do. */
  wake(): void {
    if (this.state === 'idle') this.round();
    else this.current?.change();
  }

  /** Starts again: another tab leads now, or this one. */
  restart(): void {
    if (this.state === 'idle' || this.state === 'stopped') return;
    this.drop();
    this.round();
  }

  stop(error: PealError): void {
    this.drop();
    for (const event of ['online', 'visibilitychange']) globalThis.removeEventListener?.(event, this.poke);
    this.become('stopped', { error });
  }

  up(link: Link): void {
    if (link === this.probe) {
      this.current?.close();
      this.current = link;
      this.rung = 'ws';
      this.probe = undefined;
    } else if (link !== this.current || this.using === this.rung) {
      return; // already known: each response of a poll shows it
    }
    if (this.rung !== 'tab') this.ladder.worked(this.rung!);
    this.refusals = 0;
    this.liveSince ||= Date.now();
    this.become('live', { transport: this.rung });
    this.plan();
  }

  down(link: Link, error: PealError): void {
    if (link === this.probe) {
      this.probe = undefined;
      this.plan();
    }
    if (link !== this.current) return;
    const live = this.state === 'live';
    const fallback = !live && !error.busy && this.rung !== 'tab';
    this.drop();
    if (error.code === unauthorised && link.token) {
      this.tokens.refuse(link.token, error);
      if (live) return this.wait(error); // it has expired: not all clients at once
      if (!this.refusals++) return this.round();
    }
    const next = fallback && this.ladder.next();
    if (error.final || error.code === unauthorised) this.stop(error);
    else if (next) void this.open(next);
    else this.wait(error);
  }

  /** The leading tab has lost its connection; it will report when it is back. */
  sleep(error: PealError): void {
    if (this.state !== 'waiting') this.become('waiting', { error });
  }

  private round(): void {
    const follow = this.follow();
    void this.open(follow ? 'tab' : this.ladder.first(), follow);
  }

  private async open(transport: Transport, follow?: (host: Host) => Link): Promise<void> {
    const turn = ++this.turn;
    this.become('connecting', { transport });
    try {
      await this.tokens.get();
    } catch (e) {
      if (turn !== this.turn) return;
      const error = e as PealError;
      return error.final ? this.stop(error) : this.wait(error);
    }
    if (turn !== this.turn) return;
    this.rung = transport;
    this.current = follow ? follow(this) : this.make(transport as Direct);
    this.changed();
  }

  private make(transport: Direct): Link {
    if (transport === 'ws') return new SocketLink(this, this.WebSocket!);
    return transport === 'sse' ? new StreamLink(this) : new PollLink(this);
  }

  /** Ends the link and the probe, without a report. */
  private drop(): void {
    this.turn++;
    clearTimeout(this.timer);
    clearTimeout(this.probeTimer);
    this.current?.close();
    this.probe?.close();
    this.current = this.probe = undefined;
  }

  private wait(error: PealError): void {
    if (this.liveSince && Date.now() - this.liveSince >= stable) this.failures = 0;
    this.liveSince = 0;
    const after = error.after || 0;
    this.notBefore = Date.now() + after;
    const retryIn = Math.max(after, backoff(this.failures++));
    this.timer = setTimeout(() => this.round(), retryIn);
    this.become('waiting', { error, retryIn });
  }

  /** Tries WebSocket again later, while a less preferred transport works. */
  private plan(): void {
    clearTimeout(this.probeTimer);
    if (this.rung === 'ws') this.probes = 0;
    if (!this.current || this.probe || this.rung === 'tab' || this.rung === 'ws' || !this.all.includes('ws')) return;
    const wait = Math.min(probeCap, probeFirst * 2 ** this.probes++) * (0.75 + Math.random() / 2);
    this.probeTimer = setTimeout(() => (this.probe = this.make('ws')), wait);
  }

  async expiring(link: Link): Promise<void> {
    const { token } = this.tokens;
    for (let failures = 0; link === this.current; ) {
      try {
        await this.tokens.get(true);
        if (link === this.current && token !== this.tokens.token) link.renew?.();
        return;
      } catch (e) {
        if ((e as PealError).final) return this.stop(e as PealError);
        await new Promise((done) => setTimeout(done, backoff(failures++)));
      }
    }
  }

  /** The network is back, or the page is visible again. */
  private poke = (): void => {
    if (globalThis.document?.hidden) return;
    if (this.state === 'live') {
      this.current?.check();
    } else if (this.state === 'waiting' && this.rung !== 'tab' && Date.now() >= this.notBefore) {
      clearTimeout(this.timer);
      this.round();
    }
  };

  private become(state: State, detail: StateDetail): void {
    const { error, transport } = detail;
    if (this.state === 'stopped' || (state === 'live' && this.using === transport)) return;
    this.state = state;
    this.error = error;
    this.using = state === 'live' ? transport : undefined;
    if (state === 'stopped' || state === 'waiting') for (const c of [...this.channels.values()]) c.become(state, error);
    guard(() => this.options.onState?.(state, detail));
    this.changed();
  }
}
