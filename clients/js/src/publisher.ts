import { backoff } from './backoff.js';
import { askJSON } from './http.js';
import { answerWithin, batchSize } from './limits.js';
import type { Host, Link } from './link.js';
import { PealError } from './types.js';
import { said } from './wire.js';
import type { WireError } from './wire.js';

interface Result {
  cursor?: string;
  error?: WireError;
}

interface Item {
  fields: object;
  /** The link that has sent it. */
  by?: Link;
  timer: ReturnType<typeof setTimeout>;
  resolve(cursor: string): void;
  reject(error: PealError): void;
}

/**
 * Publications that wait for their result. Each has an idempotency key and is
 * sent again, on any transport, until it gets one.
 */
export class Publisher {
  private readonly queue = new Set<Item>();
  private posting = false;
  private failures = 0;
  private timer?: ReturnType<typeof setTimeout>;

  /** working returns the link that works now; without one, publications wait. */
  constructor(
    private readonly host: Host,
    private readonly working: () => Link | undefined,
    private readonly most: number,
    private readonly patience: number,
  ) {}

  add(fields: object): Promise<{ cursor: string }> {
    if (this.queue.size >= this.most) {
      return Promise.reject(new PealError('queue_full', 'too many publications wait'));
    }
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(item.timer);
        this.queue.delete(item);
      };
      const item: Item = {
        fields,
        resolve: (cursor) => (settle(), resolve({ cursor })),
        reject: (error) => (settle(), reject(error)),
        timer: setTimeout(() => item.reject(new PealError('timeout', 'no answer; it may have been published')), this.patience),
      };
      this.queue.add(item);
      if (!this.timer) this.flush(); // otherwise it would overtake those that wait
    });
  }

  /** Sends the publications that the current link has not sent yet. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const link = this.working();
    if (!link) return;
    if (!link.publish) {
      void this.post();
      return;
    }
    for (const item of this.queue) {
      if (item.by === link) continue;
      item.by = link;
      link.publish(item.fields, (cursor, error) => this.answered(item, cursor, error));
    }
  }

  close(error: PealError): void {
    clearTimeout(this.timer);
    for (const item of this.queue) item.reject(error);
  }

  private answered(item: Item, cursor?: string, error?: PealError): void {
    if (cursor) {
      this.failures = 0;
      item.resolve(cursor);
    } else if (error && !error.busy) {
      item.reject(error);
    } else {
      item.by = undefined;
      this.later(error?.after);
    }
  }

  /** One request at a time keeps the order. */
  private async post(): Promise<void> {
    if (this.posting || !this.queue.size) return;
    this.posting = true;
    const items = [...this.queue].slice(0, batchSize);
    const body = JSON.stringify({ messages: items.map((i) => i.fields) });
    try {
      const { results } = await askJSON<{ results: Result[] }>(this.host, '/publish/batch', undefined, answerWithin, body);
      items.forEach((item, n) => {
        const { cursor, error } = results[n] ?? {};
        this.answered(item, cursor, error && said(error));
      });
    } catch (e) {
      const error = e as PealError;
      if (error.final) for (const item of items) item.reject(error);
      else this.later(error.after); // send again what the network has lost
    }
    this.posting = false;
    // Refused publications are the first in the queue, and the others wait behind them.
    if (!this.timer) this.flush();
  }

  private later(after?: number): void {
    this.timer ??= setTimeout(() => this.flush(), Math.max(after || 0, backoff(this.failures++)));
  }
}
