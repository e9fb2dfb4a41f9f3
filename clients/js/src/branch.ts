import { bring } from './align.js';
import { backoff } from './backoff.js';
import type { Channel } from './channel.js';
import { backlog } from './limits.js';
import type { Host } from './link.js';
import type { Gap, Message } from './types.js';

/**
 * A channel that is fed by another one, its trunk, here or in another tab, and
 * may begin further back. While it fetches what is between, what the trunk says
 * is held; align.ts says why nothing is lost or repeated.
 */
export class Branch {
  private stage: 'asking' | 'catching up' | 'joined' = 'asking';
  private held: Array<() => void> = [];
  private abort?: AbortController;
  private timer?: ReturnType<typeof setTimeout>;
  private failures = 0;

  /** again has the trunk call live() once more. */
  constructor(
    private readonly host: Host,
    readonly channel: Channel,
    private readonly again: () => void,
  ) {}

  /** The trunk is live and stands at the cursor: all that follows will be said. */
  live(cursor: string | undefined): void {
    const c = this.channel;
    if (this.stage === 'asking' && cursor) {
      const { cursor: mine, last } = c.from;
      if (mine || last !== undefined) {
        void this.catchUp(cursor);
        return;
      }
      c.cursor = cursor;
      this.stage = 'joined';
    }
    if (this.stage === 'joined') c.become('live');
  }

  message(m: Message): void {
    this.say(() => this.channel.take(m));
  }

  gap(g: Gap): void {
    this.say(() => this.channel.gap(g));
  }

  close(): void {
    this.abort?.abort();
    clearTimeout(this.timer);
    this.stage = 'asking';
  }

  private say(what: () => void): void {
    if (this.stage === 'joined') what();
    if (this.stage !== 'catching up') return;
    this.held.push(what);
    if (this.held.length > backlog) this.abort?.abort(); // begins anew, from there
  }

  private async catchUp(cursor: string): Promise<void> {
    const abort = (this.abort = new AbortController());
    this.stage = 'catching up';
    this.held = [];
    try {
      await bring(this.host, this.channel, cursor, abort.signal);
      if (this.abort !== abort || abort.signal.aborted) throw new Error('aborted');
      if (this.channel.roster) this.channel.roster.asked = true; // it hears from its trunk
      this.failures = 0;
      this.stage = 'joined';
      for (const what of this.held) what();
      this.held = [];
      this.channel.become('live');
    } catch {
      if (this.abort !== abort || this.stage !== 'catching up') return; // closed
      this.stage = 'asking';
      this.held = [];
      this.timer = setTimeout(this.again, backoff(this.failures++));
    }
  }
}
