import { align } from './align.js';
import type { Channel } from './channel.js';
import { askJSON, query } from './http.js';
import { answerWithin, backoffFloor, pollHold } from './limits.js';
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
  protected async request(channels: Channel[], signal: AbortSignal): Promise<void> {
    const cursor = await align(this.host, channels, true, signal);
    // The first answer shows that polling works, so it is asked for soon.
    const timeout = this.worked ? pollHold / 1000 : 1;
    this.heard = Date.now();
    const path = '/poll' + query({ channel: channels.map((c) => c.name), cursor, timeout });
    const answer = await askJSON<Answer>(this.host, path, signal, timeout * 1000 + answerWithin);
    if (signal.aborted) return;
    this.up(channels);
    for (const g of answer.gap ?? []) channels.find((c) => c.name === g.channel)?.gap(g);
    for (const m of answer.messages) channels.find((c) => c.name === m.channel)?.take(decode(m));
    for (const c of channels) c.cursor = answer.cursor;
    // Something between answers polls instead of the server: not in a circle.
    if (!answer.messages.length && Date.now() - this.heard < backoffFloor) await new Promise((done) => setTimeout(done, backoffFloor));
  }
}
