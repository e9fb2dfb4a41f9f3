import { align } from './align.js';
import type { Channel } from './channel.js';
import { askJSON } from './http.js';
import { answerWithin, backoffFloor, pollHold } from './limits.js';
import { RequestLink } from './request.js';
import type { Told } from './request.js';
import type { WireMessage } from './wire.js';

interface Answer extends Told {
  cursor: string;
  messages: WireMessage[];
  /** The server is shutting down: poll again in that time. */
  retry_ms?: number;
}

/** Long polling. */
export class PollLink extends RequestLink {
  protected async request(channels: Channel[], signal: AbortSignal): Promise<void> {
    const cursor = await align(this.host, channels, true, signal);
    // The first response shows that polling works, so request it with a short timeout.
    const timeout = this.worked ? pollHold / 1000 : 1;
    this.heard = Date.now();
    const path = '/poll' + this.asking(channels, { cursor, timeout });
    const answer = await askJSON<Answer>(this.host, path, signal, timeout * 1000 + answerWithin);
    if (signal.aborted) return;
    this.up(channels);
    this.hear(channels, answer);
    for (const c of channels) c.cursor = answer.cursor;
    // A proxy responds to polls instead of the server: do not poll in a tight loop.
    if (answer.retry_ms || (!answer.messages.length && Date.now() - this.heard < backoffFloor)) await new Promise((done) => setTimeout(done, answer.retry_ms || backoffFloor));
  }
}
