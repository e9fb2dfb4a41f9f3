import type { Roster } from './roster.js';
import type { ChannelState, Gap, Handlers, PealError, Start } from './types.js';
import { decode } from './wire.js';
import type { WireMessage, WirePresence } from './wire.js';

/**
 * The state of one channel. All messages up to `cursor` were delivered, and beyond
 * it only those in `seen`: so any transport can resume from `cursor`, if the
 * messages that it repeats go through take().
 */
export class Channel {
  cursor?: string;
  seen = new Set<string>();
  /** The server will report a gap that is already known, or that concerns no subscription. */
  skipGap = false;
  state: ChannelState = 'waiting';
  /** A handler for presence exists. */
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

  /** The start position, as the members of a command or the parameters of a URL. */
  get from(): { cursor?: string; last?: number } {
    if (this.cursor) return { cursor: this.cursor };
    return this.begin.last === undefined ? {} : { last: this.begin.last };
  }

  /** Delivers a message, unless it was delivered before, or a presence event, which has its place in the same order; and moves the cursor to it. */
  take(m: WireMessage | WirePresence): void {
    this.cursor = m.cursor;
    if (PRESENCE && 'count' in m) return this.roster?.take(m);
    this.skipGap = false;
    if (this.seen.has(m.cursor)) return;
    // Beyond all messages seen ahead: a channel has one order.
    this.seen.clear();
    this.hand(m as WireMessage);
  }

  /** Delivers a message that was fetched separately, ahead of the cursor. */
  takeAhead(m: WireMessage): void {
    if (this.seen.has(m.cursor)) return;
    this.seen.add(m.cursor);
    this.hand(m);
  }

  gap(g: Gap): void {
    g.channel = this.name;
    this.cursor = g.to; // reported once: not again after a reconnect
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
    const message = { ...decode(m), channel: this.name };
    this.tell((h) => h.onMessage?.(message));
  }

  tell(say: (h: Handlers) => void): void {
    for (const h of [...this.handlers]) if (this.handlers.has(h)) guard(() => say(h));
  }
}

/** The name under which a channel is subscribed: the server calls $me by its full name. */
export function subscribed(name: string, channels: { has(name: string): boolean }): string {
  return /^\$user:/.test(name) && !channels.has(name) ? '$me' : name;
}

/** What has the channels of a message. One that the server does not name is the only one there is. */
export function route<T>({ channel, also = [] }: { channel: string; also?: string[] }, seats: Map<string, T>): T[] {
  const found = [channel, ...also].flatMap((name) => seats.get(subscribed(name, seats)) ?? []);
  return found.length || seats.size > 1 ? found : [...seats.values()];
}

/** Runs code of the application; errors that it throws are reported and stop nothing else. */
export function guard(run: () => void): void {
  try {
    run();
  } catch (e) {
    setTimeout(() => {
      throw e;
    });
  }
}
