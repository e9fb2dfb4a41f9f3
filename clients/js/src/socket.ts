import type { Channel } from './channel.js';
import { route, subscribed } from './channel.js';
import { query } from './http.js';
import { openWithin, pongWithin, silence } from './limits.js';
import type { Host, Link } from './link.js';
import type { Gap, PealError } from './types.js';
import { closed, denied, lost, said } from './wire.js';
import type { Frame, WireError, WireMessage, WirePresence } from './wire.js';

interface Reply {
  cursor?: string;
  /** Of the command token. */
  unsubscribed?: string[];
  error?: WireError;
}

/** A channel of this socket: requested, subscribed, or being left. */
interface Seat {
  channel: Channel;
  stage: 'joining' | 'joined' | 'leaving';
  /** A gap arrived before the reply, whose cursor is after it. */
  gap?: boolean;
}

/** A WebSocket with the subprotocol peal.v1 (docs/protocol.md). */
export class SocketLink implements Link {
  token?: string;
  private readonly socket: WebSocket;
  private readonly seats = new Map<string, Seat>();
  private readonly pending = new Map<number, (reply: Reply) => void>();
  private id = 0;
  private open = false;
  private ended = false;
  private timer?: ReturnType<typeof setTimeout>;
  /**
   * All channels have caught up with the connection. From then on messages arrive
   * in the one order of all channels, and a cursor covers each of them. The channels
   * then stay at one cursor, which saves SSE and polls work (align.ts).
   */
  private even = false;
  /** Pings whose reply is out of date: a subscription began after they were sent. */
  private evening = 0;

  constructor(
    private readonly host: Host,
    Implementation: typeof WebSocket,
  ) {
    // A URL would be in the logs of proxies.
    this.token = host.tokens.token;
    const protocols = ['peal.v1', ...(this.token ? ['peal.token.' + this.token] : [])];
    this.socket = new Implementation(host.url.replace(/^http/, 'ws') + '/ws' + query({ session: host.session, ...(PRESENCE && host.me) }), protocols);
    this.socket.onmessage = (e) => this.frame(JSON.parse(e.data as string) as Frame);
    this.socket.onclose = (e) => this.end(closed(e.code, e.reason));
    this.socket.onerror = () => {}; // a close follows
    this.within(openWithin);
  }

  change(): void {
    if (!this.open) return;
    const leave: string[] = [];
    for (const [name, seat] of this.seats) {
      if (seat.stage === 'leaving' || this.host.channels.get(name) === seat.channel) continue;
      seat.stage = 'leaving';
      leave.push(name);
    }
    if (leave.length) {
      this.tell({ command: 'unsubscribe', channel: leave }, () => {
        for (const name of leave) this.seats.delete(name);
        this.change(); // it may be subscribed again
      });
    }
    // Channels with the same start position are subscribed together. The newest N
    // would be those of all of them, so these are subscribed one by one.
    const groups = new Map<string, Channel[]>();
    for (const c of this.host.channels.values()) {
      if (this.seats.has(c.name)) continue;
      let key = c.from.last !== undefined ? '=' + c.name : (c.cursor ?? '');
      if (PRESENCE && c.roster) key = '+' + key;
      groups.set(key, [...(groups.get(key) ?? []), c]);
    }
    for (const group of groups.values()) this.subscribe(group);
  }

  check(): void {
    if (this.open) this.ping();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.socket.close();
  }

  renew(): void {
    this.token = this.host.tokens.token;
    this.tell({ command: 'token', token: this.token }, ({ unsubscribed, error }) => {
      if (error) return this.end(/^token/.test(error.code) ? denied(error.message) : lost(error.message));
      // They are subscribed again, and the server's error is theirs.
      for (const name of unsubscribed ?? []) this.seats.delete(name);
      this.change();
    });
  }

  publish(fields: object, done: (cursor?: string, error?: PealError) => void): void {
    this.tell({ command: 'publish', ...fields }, ({ cursor, error }) => done(cursor, error && said(error)));
  }

  private subscribe(channels: Channel[]): void {
    for (const channel of channels) this.seats.set(channel.name, { channel, stage: 'joining' });
    this.even = false;
    const from = { ...(PRESENCE && { presence: !!channels[0]!.roster }), ...channels[0]!.from };
    this.tell({ command: 'subscribe', channel: channels.map((c) => c.name), ...from }, ({ cursor, error }) => {
      for (const channel of channels) {
        const seat = this.seats.get(channel.name);
        if (seat?.channel !== channel || seat.stage !== 'joining') {
          // It was left meanwhile.
        } else if (!error) {
          seat.stage = 'joined';
          if (!seat.gap) channel.cursor = cursor;
          channel.become('live');
        } else if (channels.length > 1) {
          this.subscribe([channel]); // one by one, to find the refused channel
        } else {
          this.seats.delete(channel.name);
          channel.become('stopped', said(error));
        }
      }
      if (!error) this.settle();
    });
  }

  private frame(f: Frame): void {
    if (this.ended) return;
    if (this.open) this.within(silence);
    if (f.connected) {
      this.open = true;
      this.within(silence);
      this.host.up(this);
      if (!this.ended) this.change();
    } else if (f.gap) {
      for (const g of f.gap) this.gap(g);
    } else if (f.token_expires) {
      this.host.expiring(this);
    } else if (PRESENCE && f.presence) {
      this.message(f.presence);
    } else if (f.channel !== undefined && f.id === undefined) {
      this.message(f as WireMessage);
    } else if (typeof f.id === 'number') {
      const done = this.pending.get(f.id);
      this.pending.delete(f.id);
      done?.(f as Reply);
    }
  }

  private message(m: WireMessage | WirePresence): void {
    for (const seat of route(m, this.seats)) {
      if (seat.stage !== 'joined') continue;
      if (this.even) this.stand(m.cursor);
      seat.channel.take(m);
    }
  }

  private gap(g: Gap): void {
    if (PRESENCE) for (const c of this.host.channels.values()) c.roster?.missed(g);
    const seat = this.seats.get(subscribed(g.channel, this.seats));
    if (!seat || seat.stage === 'leaving') return;
    seat.gap = true;
    this.even = false; // its channel is at another cursor now
    seat.channel.gap(g);
    if (seat.stage === 'joined') this.settle();
  }

  /** All channels have everything up to the cursor. */
  private stand(cursor: string): void {
    for (const seat of this.seats.values()) if (seat.stage === 'joined') seat.channel.cursor = cursor;
  }

  /** Sends pings until all have caught up. */
  private settle(): void {
    const turn = ++this.evening;
    this.tell({ command: 'ping' }, ({ cursor }) => {
      if (turn !== this.evening || this.ended) return;
      if (cursor) {
        this.even = ![...this.seats.values()].some((seat) => seat.stage === 'joining');
        if (this.even) this.stand(cursor);
      } else {
        setTimeout(() => turn === this.evening && !this.ended && this.settle(), 1_000);
      }
    });
  }

  private ping(): void {
    this.within(pongWithin);
    this.settle();
  }

  /** Checks after that time whether a frame arrived; each frame restarts it. */
  private within(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (milliseconds === silence) this.ping();
      else this.end(lost('no answer in time'));
    }, milliseconds);
  }

  private tell(fields: object, done: (reply: Reply) => void): void {
    if (this.ended || this.socket.readyState !== 1) return; // its close follows
    this.pending.set(++this.id, done);
    this.socket.send(JSON.stringify({ id: this.id, ...fields }));
  }

  private end(error: PealError): void {
    if (this.ended) return;
    this.close();
    this.host.down(this, error);
  }
}
