import { align } from './align.js';
import type { Channel } from './channel.js';
import { EventParser } from './events.js';
import type { StreamEvent } from './events.js';
import { ask, Deadline } from './http.js';
import { openWithin, silence } from './limits.js';
import { RequestLink } from './request.js';
import { PealError } from './types.js';
import { lost } from './wire.js';

/**
 * Server-sent events, over fetch: EventSource hides heartbeats and statuses, and
 * Node does not have it.
 */
export class StreamLink extends RequestLink {
  protected async request(channels: Channel[], signal: AbortSignal): Promise<void> {
    const cursor = await align(this.host, channels, false, signal);
    const deadline = new Deadline(signal);
    deadline.within(openWithin);
    try {
      const path = '/sse' + this.asking(channels, { format: 'json', cursor });
      const reader = (await ask(this.host, path, deadline.signal)).body!.getReader();
      const text = new TextDecoder();
      const parser = new EventParser();
      let open = false;
      for (;;) {
        const { value, done } = await reader.read();
        if (signal.aborted) return;
        // A stream that ends before it begins: reconnect later.
        if (done) throw new PealError('network', 'the stream ended', { busy: !open && !!parser.retry, after: parser.retry });
        this.heard = Date.now();
        for (const e of parser.push(text.decode(value, { stream: true }))) {
          this.frame(channels, e);
          if (e.id === undefined || open) continue;
          open = true;
          this.up(channels);
        }
        // Until it is open, bytes may come from a proxy.
        if (open) deadline.within(silence);
      }
    } catch (e) {
      throw e instanceof PealError ? e : lost(String(e));
    } finally {
      deadline.end();
    }
  }

  private frame(channels: Channel[], e: StreamEvent): void {
    if (e.event === 'peal.token_expires') {
      this.host.expiring(this);
    } else if (e.data && e.event !== 'peal.cursor') {
      this.hear(channels, { [e.event === 'gap' ? 'gap' : 'messages']: [JSON.parse(e.data)] });
    }
    // An id covers all channels of the stream.
    if (e.id) for (const c of channels) c.cursor = e.id;
  }
}
