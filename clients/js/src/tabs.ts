import { Branch } from './branch.js';
import type { Channel } from './channel.js';
import type { Connection } from './connection.js';
import { answerWithin } from './limits.js';
import type { Host, Link } from './link.js';
import type { Subscription } from './peal.js';
import type { Inside, Sharing } from './sharing.js';
import type { Gap, Handlers, Message, PealError, Presence } from './types.js';

// One tab leads: it holds a lock, which the browser passes on when the tab ends,
// and has the connection. The others follow: they request channels from it and
// receive their messages. Each follower holds a lock of its own, for which the
// leader waits: when the leader gets it, the follower has ended.

type Word =
  | { word: 'lead' } // to all: this tab leads
  | { word: 'state'; live: boolean } // to all: of the leader's connection
  | { word: 'join'; from: string; channel: string; presence: boolean }
  | { word: 'leave'; from: string; channel: string }
  | { word: 'joined'; to: string; channel: string; cursor?: string }
  | { word: 'refused'; channel: string; code: string; message: string } // to all that have it
  | { word: 'message'; message: Message }
  | { word: 'gap'; gap: Gap }
  | { word: 'presence'; presence: Presence };

type Say = (w: Word) => void;

export class Tabs implements Sharing {
  private readonly me = Math.random().toString(36).slice(2) + Date.now().toString(36);
  private readonly air: BroadcastChannel;
  private readonly abort = new AbortController();
  private leading = false;
  /** The leader does not respond: this tab has a connection of its own. */
  private alone = false;
  private link?: TabLink;
  /** In the leader: the channels of the followers, by name. */
  private readonly relays = new Map<string, Relay>();
  private readonly followers = new Set<string>();
  /** This tab holds its own lock, and the leader may wait for it. */
  private readonly ready: Promise<void>;

  constructor(private readonly inside: Inside) {
    this.air = new BroadcastChannel('peal:' + inside.name);
    this.air.onmessage = (e) => this.hear(e.data as Word);
    this.ready = new Promise((ready) => this.hold(this.me, ready));
    this.hold('', () => {
      this.leading = true;
      this.inside.connection.restart();
      this.say({ word: 'lead' });
    });
  }

  /** Creates the link of a tab that does not lead; undefined if this one does. */
  get follow(): ((host: Host) => Link) | undefined {
    if (this.leading || this.alone) return undefined;
    const say: Say = (w) => void this.ready.then(() => this.say(w));
    return () => (this.link = new TabLink(this.inside, this.me, say, () => (this.alone = true)));
  }

  branch(c: Channel, trunk: Channel): Handlers {
    const branch = new Branch(this.inside.connection, c, () => branch.live(trunk.cursor));
    const onState: Handlers['onState'] = (state, error) => (state === 'live' ? branch.live(trunk.cursor) : c.become(state, error));
    if (trunk.state === 'live') branch.live(trunk.cursor);
    return { onMessage: (m) => branch.message(m), onGap: (g) => branch.gap(g), onState };
  }

  /** Sends the state of the connection to the followers. */
  tell(): void {
    const { state } = this.inside.connection;
    if (state === 'stopped') this.close(); // another tab may succeed
    else if (this.leading) this.say({ word: 'state', live: state === 'live' });
  }

  close(): void {
    this.abort.abort();
    this.air.close();
  }

  private say(w: Word): void {
    if (!this.abort.signal.aborted) this.air.postMessage(w);
  }

  /** Waits for a lock, then calls then, and keeps the lock to the end. */
  private hold(who: string, then: () => void, keep = true): void {
    const { signal } = this.abort;
    const held = () => {
      then();
      return keep ? new Promise<void>((done) => signal.addEventListener('abort', () => done())) : undefined;
    };
    navigator.locks.request(`peal:${this.inside.name}:${who}`, { signal }, held).catch(() => {}); // aborted by close
  }

  private hear(w: Word): void {
    if (!this.leading) {
      if (w.word === 'lead' && this.alone) {
        this.alone = false;
        this.inside.connection.restart();
      }
      this.link?.hear(w);
    } else if (w.word === 'join') {
      this.followed(w.from);
      let relay = this.relays.get(w.channel);
      if (!relay || relay.refused) {
        relay = new Relay(w.channel, this.inside, (word) => this.say(word));
        this.relays.set(w.channel, relay);
      }
      relay.join(w.from, w.presence);
      this.tell();
    } else if (w.word === 'leave') {
      this.leave(w.channel, w.from);
    }
  }

  private leave(channel: string, who: string): void {
    if (this.relays.get(channel)?.leave(who)) this.relays.delete(channel);
  }

  /** Waits for the follower's end, once. */
  private followed(who: string): void {
    if (this.followers.has(who)) return;
    this.followers.add(who);
    const gone = () => {
      this.followers.delete(who);
      for (const channel of [...this.relays.keys()]) this.leave(channel, who);
    };
    this.hold(who, gone, false);
  }
}

/** One channel of the leader with its followers. */
class Relay {
  refused = false;
  private readonly who = new Set<string>();
  private readonly subscription: Subscription;
  private watching?: Subscription;

  constructor(
    private readonly channel: string,
    private readonly inside: Inside,
    private readonly say: Say,
  ) {
    this.subscription = inside.subscribe(channel, {
      onMessage: (message) => say({ word: 'message', message }),
      onGap: (gap) => say({ word: 'gap', gap }),
      onState: (state, error) => {
        if (state === 'live') for (const to of this.who) this.joined(to);
        if (state !== 'stopped') return;
        this.refused = true;
        if (error!.code !== 'closed') say({ word: 'refused', channel, code: error!.code, message: error!.message });
      },
    });
  }

  /** With presence: sends the members again to every follower that needs them. */
  join(who: string, presence: boolean): void {
    this.who.add(who);
    if (presence && !this.refused) {
      this.watching?.unsubscribe();
      this.watching = this.inside.subscribe(this.channel, { onPresence: (presence) => this.say({ word: 'presence', presence }) });
    }
    if (this.subscription.state === 'live') this.joined(who);
  }

  /** Returns whether no follower is left. */
  leave(who: string): boolean {
    this.who.delete(who);
    if (this.who.size > 0) return false;
    this.watching?.unsubscribe();
    this.subscription.unsubscribe();
    return true;
  }

  private joined(to: string): void {
    this.say({ word: 'joined', to, channel: this.channel, cursor: this.subscription.cursor });
  }
}

/** The connection of a tab that follows: another tab. */
class TabLink implements Link {
  private readonly seats = new Map<string, Branch>();
  private readonly timer: ReturnType<typeof setTimeout>;

  constructor(
    private readonly inside: Inside,
    private readonly me: string,
    private readonly say: Say,
    deaf: () => void,
  ) {
    this.timer = setTimeout(() => {
      if (this.seats.size === 0) return;
      deaf();
      this.host.down(this, this.lost('the leading tab does not answer'));
    }, answerWithin / 2);
    this.change();
  }

  private lost(message: string): PealError {
    return this.inside.error({ code: 'network', message });
  }

  private get host(): Connection {
    return this.inside.connection;
  }

  change(): void {
    for (const [name, branch] of this.seats) {
      if (this.host.channels.get(name) === branch.channel) continue;
      this.seats.delete(name);
      branch.close();
      this.say({ word: 'leave', from: this.me, channel: name });
    }
    for (const c of this.host.channels.values()) {
      if (this.seats.has(c.name)) continue;
      const join = () => {
        if (c.roster) c.roster.asked = true; // by the leading tab
        this.say({ word: 'join', from: this.me, channel: c.name, presence: !!c.roster });
      };
      this.seats.set(c.name, new Branch(this.host, c, join));
      join();
    }
  }

  check(): void {} // a leader that ends passes the lock on

  close(): void {
    clearTimeout(this.timer);
    for (const branch of this.seats.values()) {
      branch.channel.roster?.forget();
      branch.close();
    }
    this.seats.clear();
  }

  hear(w: Word): void {
    if (w.word !== 'join' && w.word !== 'leave') clearTimeout(this.timer);
    if (w.word === 'lead') {
      for (const branch of this.seats.values()) branch.close();
      this.seats.clear();
      this.change();
    } else if (w.word === 'state') {
      if (w.live) this.host.up(this);
      else this.host.sleep(this.lost('the leading tab has lost its connection'));
    } else if (w.word === 'joined') {
      if (w.to === this.me) this.seats.get(w.channel)?.live(w.cursor);
    } else if (w.word === 'message') {
      this.seats.get(w.message.channel)?.message(w.message);
    } else if (w.word === 'gap') {
      this.seats.get(w.gap.channel)?.gap(w.gap);
    } else if (w.word === 'presence') {
      this.seats.get(w.presence.channel)?.channel.tell((h) => h.onPresence?.(w.presence));
    } else if (w.word === 'refused') {
      this.seats.get(w.channel)?.channel.become('stopped', this.inside.error(w));
    }
  }
}
