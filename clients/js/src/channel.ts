import type { Roster } from './roster.js';
import type { ChannelState, Gap, Handlers, PealError, Start } from './types.js';
import { decode } from './wire.js';
import type { WireMessage, WirePresence } from './wire.js';

/**
 * What this client has of one channel. Everything up to `cursor` was handed on,
 * and beyond it what is in `seen`, nothing else: so any transport can resume
 * from `cursor`, if what it repeats is passed through take().
 */
export class Channel {
  cursor?: string;
  seen = new Set<string>();
  /** The server will tell of a gap that is known, or that concerns nobody. */
  skipGap = false;
  state: ChannelState = 'waiting';
  /** Somebody wants to know who is there. */
  roster?: Roster;
  /** Called once, when it stops. */
  stopped: () => void = () => {};
  readonly handlers = new Set<Handlers>();

  constructor(
    readonly name: string,
    private begin: Start,
  ) {
    this.cursor = begin.cursor || undefined;
  }

  /** Where to begin, as the members of a command or the parameters of a URL. */
  get from(): { cursor?: string; last?: number } {
    if (this.cursor) return { cursor: this.cursor };
    return this.begin.last === undefined ? {} : { last: this.begin.last };
  }

  /** Hands a message on, unless it was, or an event of presence, which is in the one order too; and moves the cursor to it. */
  take(m: WireMessage | WirePresence): void {
    this.cursor = m.cursor;
    if (PRESENCE && 'count' in m) return this.roster?.take(m);
    this.skipGap = false;
    if (this.seen.has(m.cursor)) return;
    // Beyond all that was seen ahead: the order of a channel is one.
    this.seen.clear();
    this.hand(m as WireMessage);
  }

  /** Hands on a message that was fetched apart, ahead of the cursor. */
  takeAhead(m: WireMessage): void {
    if (this.seen.has(m.cursor)) return;
    this.seen.add(m.cursor);
    this.hand(m);
  }

  gap(g: Gap): void {
    this.cursor = g.to; // told once: not again after a reconnect
    if (this.skipGap) this.skipGap = false;
    else this.tell((h) => h.onGap?.(g));
  }

  become(state: ChannelState, error?: PealError): void {
    if (PRESENCE && state === 'live') this.roster?.check();
    if (state === this.state || this.state === 'stopped') return;
    this.state = state;
    if (state === 'stopped') this.stopped();
    this.tell((h) => h.onState?.(state, error));
  }

  private hand(m: WireMessage): void {
    const message = decode(m);
    this.tell((h) => h.onMessage?.(message));
  }

  tell(say: (h: Handlers) => void): void {
    for (const h of [...this.handlers]) if (this.handlers.has(h)) guard(() => say(h));
  }
}

/** Runs code of the application; what it throws is reported and stops nobody else. */
export function guard(run: () => void): void {
  try {
    run();
  } catch (e) {
    setTimeout(() => {
      throw e;
    });
  }
}
