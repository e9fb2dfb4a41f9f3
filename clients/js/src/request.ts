import { now } from './align.js';
import { route, subscribed } from './channel.js';
import type { Channel } from './channel.js';
import { query } from './http.js';
import { silence } from './limits.js';
import type { Host, Link } from './link.js';
import type { Gap, PealError } from './types.js';
import { unauthorised } from './wire.js';
import type { WireMessage, WirePresence } from './wire.js';

/** The fields of a poll's response, or of one event of a stream. */
export interface Told {
  gap?: Gap[];
  presence?: WirePresence[];
  messages?: WireMessage[];
}

/**
 * The common part of event streams and polls: the set of channels is in the URL, so
 * a change of the set ends the request and begins another.
 */
export abstract class RequestLink implements Link {
  private abort?: AbortController;
  private ended = false;
  /** When data arrived last, or a poll was sent. */
  protected heard = 0;
  /** Whether it has worked once. */
  protected worked = false;
  private timer?: ReturnType<typeof setTimeout>;

  constructor(protected readonly host: Host) {
    this.change();
  }

  /** Runs one request until it ends; another follows at once unless it throws a PealError. */
  protected abstract request(channels: Channel[], signal: AbortSignal): Promise<void>;

  /** A request cannot be pinged. If no data has arrived for long, it is started again. */
  check(): void {
    if (Date.now() - this.heard > silence / 2) this.change();
  }

  change(): void {
    this.abort?.abort();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run()); // many subscriptions at once are one change
  }

  renew(): void {
    this.change();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  /** The request has shown that it works for these channels. */
  protected up(channels: Channel[]): void {
    if (this.ended) return;
    this.worked = true;
    this.host.up(this);
    for (const c of channels) c.become('live');
  }

  /** The query for these channels. */
  protected asking(channels: Channel[], more: Record<string, string | number | undefined>): string {
    const presence = PRESENCE && { presence: channels.some((c) => c.roster) ? 1 : undefined, ...this.host.me };
    return query({ channel: channels.map((c) => c.name), ...presence, session: this.host.session, ...more });
  }

  /** Delivers the messages for these channels. The caller sets the cursor after them. */
  protected hear(channels: Channel[], { gap, presence, messages }: Told): void {
    const seats = new Map(channels.map((c) => [c.name, c]));
    const at = (m: { channel: string }) => seats.get(subscribed(m.channel, seats));
    for (const g of gap ?? []) {
      if (PRESENCE) for (const c of channels) c.roster?.missed(g);
      at(g)?.gap(g);
    }
    if (PRESENCE) for (const e of presence ?? []) at(e)?.take(e);
    for (const m of messages ?? []) for (const c of route(m, seats)) c.take(m);
  }

  private async run(): Promise<void> {
    const { signal } = (this.abort = new AbortController());
    for (;;) {
      const channels = [...this.host.channels.values()];
      if (!channels.length) return;
      try {
        await this.request(channels, signal);
      } catch (e) {
        if (signal.aborted) return;
        const error = await this.sift(e as PealError, channels, signal);
        if (error && !signal.aborted) return this.host.down(this, error);
      }
      if (signal.aborted) return;
    }
  }

  /**
   * The server may have refused the channels together: stops those that it also refuses
   * alone. Returns the error of the whole, undefined if they were the cause.
   */
  private async sift(error: PealError, channels: Channel[], signal: AbortSignal): Promise<PealError | undefined> {
    if (!error.final || error.code === unauthorised) return error;
    let found = false;
    for (const c of channels) {
      try {
        await now(this.host, c, signal);
        if (PRESENCE) await c.roster?.list();
      } catch (e) {
        const its = e as PealError;
        if (signal.aborted || its.code === unauthorised) return its;
        if (!its.final) continue;
        found = true;
        c.become('stopped', its);
      }
    }
    return found ? undefined : error;
  }
}
