import { backoff } from './backoff.js';
import type { Channel } from './channel.js';
import { askJSON, query } from './http.js';
import { crowd } from './limits.js';
import type { Host } from './link.js';
import type { Gap, Member, PealError, Presence, PresencePage, WhichPage } from './types.js';
import { unauthorised } from './wire.js';
import type { WirePresence } from './wire.js';

/** One page of the members of a channel. */
export function list(host: Host, name: string, page?: WhichPage): Promise<PresencePage> {
  return askJSON(host, `/channels/${encodeURIComponent(name)}/presence${query({ ...page })}`);
}

/**
 * The members of a channel, kept as docs/protocol.md describes: the server sends
 * changes, then the list is requested, and changes received meanwhile are applied.
 */
export class Roster {
  /** The list was requested since changes may have been missed; a following tab requests it from the leading one. */
  asked = false;
  /** The members; undefined while they are unknown, and if there are too many. */
  private members?: Map<string, Member>;
  /** While the list is requested: the changes since the request. */
  private held?: WirePresence[];
  private failures = 0;

  constructor(
    private readonly host: Host & { wake(): void },
    private readonly channel: Channel,
  ) {}

  /** Changes may have been missed; check() follows when the channel is live. */
  forget(): void {
    this.asked = false;
    this.members = this.held = undefined;
  }

  /** The channel is live, and so are its presence events. */
  check(): void {
    if (!this.asked) void this.ask();
  }

  /** There is a gap, on some channel. */
  missed(g: Gap): void {
    if (g.channel === '$presence:' + this.channel.name) void this.ask();
  }

  take(e: WirePresence): void {
    if (e.join && this.held) {
      this.held.push(e);
    } else if (e.join && this.members) {
      this.hand(e);
    } else if (e.count > crowd) {
      this.members = this.held = undefined;
      this.asked = true;
      this.hand(e);
    } else {
      void this.ask();
    }
  }

  /** Also rejects if the rule of the channel turns presence off. */
  list(): Promise<PresencePage> {
    return list(this.host, this.channel.name, { limit: crowd });
  }

  /** Requests the list, repeatedly, until it arrives or no handler needs it. */
  private async ask(): Promise<void> {
    const { channel, host } = this;
    const held: WirePresence[] = (this.held = []);
    this.asked = true;
    const wanted = () => this.held === held && host.channels.get(channel.name) === channel;
    try {
      const { members, count, next } = await this.list();
      if (!wanted()) return; // changes were missed meanwhile
      this.failures = 0;
      this.held = undefined;
      this.members = next ? undefined : new Map(members.map((m) => [m.client, m]));
      for (const e of held) this.apply(e);
      this.hand({ count: this.members?.size ?? held.at(-1)?.count ?? count });
    } catch (e) {
      const error = e as PealError;
      if (!wanted()) return;
      if (error.final && error.code !== unauthorised) {
        channel.become('stopped', error);
        host.wake();
      } else {
        setTimeout(() => wanted() && this.ask(), backoff(this.failures++));
      }
    }
  }

  private apply({ join, leave }: Partial<WirePresence>): void {
    for (const m of leave ?? []) this.members?.delete(m.client);
    for (const m of join ?? []) this.members?.set(m.client, m);
  }

  private hand(e: Partial<WirePresence> & { count: number }): void {
    this.apply(e);
    if (e.count > crowd) this.members = undefined;
    const members = this.members && [...this.members.values()];
    const { cursor: _, ...rest } = e;
    const presence: Presence = { join: [], leave: [], ...rest, channel: this.channel.name, members };
    this.channel.tell((h) => h.onPresence?.(presence));
  }
}
