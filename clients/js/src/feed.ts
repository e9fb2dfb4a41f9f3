import { backlog } from './limits.js';
import type { Subscription } from './peal.js';
import type { Handlers, Message, PealError, Start } from './types.js';

/**
 * The messages of a channel, kept until they are asked for. Of more than a
 * thousand the oldest are dropped, and told as a gap with the reason 'slow'.
 */
export async function* feed(
  subscribe: (h: Handlers & Start) => Subscription,
  options: Handlers & Start,
): AsyncGenerator<Message, void, undefined> {
  const kept: Message[] = [];
  let wake = () => {};
  let error: PealError | undefined;
  const subscription = subscribe({
    ...options,
    onMessage: (m) => {
      kept.push(m);
      wake();
      if (kept.length <= backlog) return;
      const { channel, cursor } = kept.shift()!;
      options.onGap?.({ channel, to: cursor, reason: 'slow', skipped: 1 });
    },
    onState: (state, e) => {
      options.onState?.(state, e);
      error = e;
      if (state === 'stopped') wake();
    },
  });
  try {
    for (;;) {
      while (kept.length) yield kept.shift()!;
      if (subscription.state === 'stopped') throw error;
      await new Promise<void>((done) => (wake = done));
    }
  } finally {
    subscription.unsubscribe();
  }
}
