import { Channel } from './channel.js';
import { Connection } from './connection.js';
import { feed } from './feed.js';
import { Publisher } from './publisher.js';
import { list, Roster } from './roster.js';
import type { Sharing } from './sharing.js';
import { PealError } from './types.js';
import type { ChannelState, Handlers, Message, Options, PresencePage, PublishOptions, Start, State, Transport, WhichPage } from './types.js';
import { encode, said } from './wire.js';

/** One subscription to a channel; any number of them share the channel. */
export interface Subscription {
  readonly channel: string;
  readonly state: ChannelState;
  /** The position of the channel, from which another page can resume. */
  readonly cursor: string | undefined;
  unsubscribe(): void;
}

/** A client of one server: one connection, and as many channels as the server allows. */
export class Peal {
  private readonly connection: Connection;
  private readonly publisher: Publisher;
  private readonly sharing?: Sharing;

  /** url is the URL of the server, such as https://push.example.com; default: the origin of the page. */
  constructor(url?: string, options: Options = {}) {
    const at = new URL(url ?? '/', globalThis.location?.href);
    const base = (at.origin + at.pathname).replace(/^ws/, 'http').replace(/\/+$/, '');
    const connection = (this.connection = new Connection(
      base,
      options,
      () => this.sharing?.follow,
      () => {
        this.publisher?.flush(); // the constructor may still be running
        this.sharing?.tell();
      },
    ));
    this.publisher = new Publisher(connection, () => connection.working, options.publishQueue ?? 100, options.publishTimeout ?? 60_000);
    this.sharing = options.share?.({ name: base, connection, error: said, subscribe: (name, h) => this.subscribe(name, h) });
  }

  get state(): State {
    return this.connection.state;
  }

  get transport(): Transport | undefined {
    return this.connection.using;
  }

  /** The id of this client's session, on all of its connections: for `exclude`. */
  get session(): string {
    return this.connection.session;
  }

  /** The reason, while it is waiting or stopped. */
  get error(): PealError | undefined {
    return this.connection.error;
  }

  /**
   * Subscribes to a channel. Throws when the connection has stopped, and on a start
   * position for a channel that is already subscribed. A name that the server refuses
   * stops the channel.
   */
  subscribe(name: string, handlers: (Handlers & Start) | ((m: Message) => void)): Subscription {
    const h = typeof handlers === 'function' ? { onMessage: handlers } : handlers;
    this.check(name);
    if (!PRESENCE && h.onPresence) void this.presence(name); // throws
    const trunk = this.connection.channels.get(name);
    if (!trunk) return this.join(new Channel(name, h), h);
    if (!h.cursor && h.last === undefined) return this.join(trunk, h);
    if (!this.sharing) throw new PealError('already_subscribed', 'a second subscription of a channel begins now');
    const c = new Channel(name, h);
    c.handlers.add(h);
    const joined = this.join(trunk, PRESENCE ? { ...this.sharing.branch(c, trunk), onPresence: h.onPresence } : this.sharing.branch(c, trunk));
    return handle(c, () => {
      c.handlers.clear();
      joined.unsubscribe();
    });
  }

  private check(name: string): void {
    encodeURIComponent(name); // throws if a name is not valid text; the server reports other faults
    if (this.state === 'stopped') throw this.error;
  }

  private join(c: Channel, h: Handlers): Subscription {
    const { channels } = this.connection;
    if (PRESENCE && h.onPresence) {
      (c.roster ??= new Roster(this.connection, c)).forget();
      // A channel that is already subscribed is subscribed again at its position, with presence and a list.
      if (channels.delete(c.name)) this.connection.wake();
    }
    c.handlers.add(h);
    if (c.state === 'live') queueMicrotask(() => c.handlers.has(h) && c.state === 'live' && h.onState?.('live'));
    if (!channels.has(c.name)) {
      // A channel that the server refuses is removed, so that another attempt is possible.
      c.stopped = () => channels.get(c.name) === c && channels.delete(c.name);
      channels.set(c.name, c);
      this.connection.wake();
    }
    return handle(c, () => {
      c.handlers.delete(h);
      if (c.handlers.size > 0 || channels.get(c.name) !== c) return;
      channels.delete(c.name);
      this.connection.wake();
    });
  }

  /** The messages of a channel, for `for await`. Leaving the loop unsubscribes. */
  channel(name: string, options: Omit<Handlers, 'onMessage'> & Start = {}): AsyncGenerator<Message, void, undefined> {
    return feed((h) => this.subscribe(name, h), options);
  }

  /** A page of the members of a channel. Throws 'no_presence' in the build without presence. */
  presence(channel: string, page?: WhichPage): Promise<PresencePage> {
    if (PRESENCE) {
      const ask = () => (this.check(channel), list(this.connection, channel, page));
      return this.connection.tokens.get().then(ask);
    }
    throw new PealError('no_presence', 'take peal-presence.js');
  }

  /**
   * Publishes text, bytes, or the JSON of anything else. Resolves when the
   * server has accepted it; until then it is sent again after each loss of the
   * connection. Rejects with the server's error, 'queue_full', 'timeout' or 'closed'.
   */
  async publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<{ cursor: string }> {
    this.check(channel);
    const { event, exclude, idempotencyKey = key() } = options;
    const answer = this.publisher.add({ channel, ...encode(data), event, exclude, idempotency_key: idempotencyKey });
    this.connection.wake();
    return answer;
  }

  /** Ends the client permanently: subscriptions stop, pending publications are rejected with 'closed'. */
  close(): void {
    const error = new PealError('closed', 'close was called');
    this.connection.stop(error);
    this.publisher.close(error);
    this.sharing?.close();
  }
}

function handle(c: Channel, unsubscribe: () => void): Subscription {
  return {
    channel: c.name,
    get state() {
      return c.state;
    },
    get cursor() {
      return c.cursor;
    },
    unsubscribe,
  };
}

/** 128 random bits. crypto.randomUUID is missing on pages without TLS. */
function key(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('-');
}
