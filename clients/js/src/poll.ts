import { align } from './align.js';
import type { Channel } from './channel.js';
import { askJSON, query } from './http.js';
import { answerWithin, pollHold } from './limits.js';
import { RequestLink } from './request.js';
import type { Gap } from './types.js';
import { decode } from './wire.js';
import type { WireMessage } from './wire.js';

interface Answer {
  cursor: string;
  gap?: Gap[];
  messages: WireMessage[];
}

/** Long polling. */
export class PollLink extends RequestLink {
  /** When the poll on its way was sent. */
  private sent = 0;

  check(): void {
    if (Date.now() - this.sent > answerWithin / 2) this.change();
  }

  protected async request(channels: Channel[], signal: AbortSignal): Promise<void> {
    const cursor = await align(this.host, channels, true, signal);
    // The first answer shows that polling works, so it is asked for soon.
    const timeout = this.worked ? pollHold / 1000 : 1;
    this.sent = Date.now();
    const path = '/poll' + query({ channel: channels.map((c) => c.name), cursor, timeout });
    const answer = await askJSON<Answer>(this.host, path, signal, timeout * 1000 + answerWithin);
    if (signal.aborted) return;
    this.up(channels);
    for (const g of answer.gap ?? []) channels.find((c) => c.name === g.channel)?.gap(g);
    for (const m of answer.messages) channels.find((c) => c.name === m.channel)?.take(decode(m));
    for (const c of channels) c.cursor = answer.cursor;
  }
}
