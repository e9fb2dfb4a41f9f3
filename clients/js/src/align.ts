import type { Channel } from './channel.js';
import { askJSON, query } from './http.js';
import type { Host } from './link.js';
import type { WireMessage } from './wire.js';
import type { Gap } from './types.js';

// An event stream or a poll has one cursor for all of its channels. Cursors are
// opaque: two are equal or not, and it is unknown which is older. Therefore the
// channels are moved to one of them first.
//
// T is the cursor that most channels have. For a channel that is at x instead, the
// client reads its history twice, in this order:
//
//	H = retained messages after T       only marked as seen, not delivered
//	X = retained messages after x       delivered, and marked as seen
//
// H is read first, so X has all messages of H that are newer than x; the others in
// H are not newer than x and were delivered before. Therefore every message after T
// that is not in H or X is new: the channel can continue at T, and messages in H
// or X are dropped. A channel that begins now has no X.

interface Page {
  cursor: string;
  gap?: Gap[];
  messages: WireMessage[];
  more: boolean;
}

/** Reads the retained messages of a channel, page by page, and returns the cursor after them. */
export async function readHistory(
  host: Host,
  name: string,
  from: { cursor?: string; last?: number },
  signal: AbortSignal,
  each: (page: Page) => void,
): Promise<string> {
  for (;;) {
    const limit = Math.min(1000, from.last || 1000);
    const page = await askJSON<Page>(host, `/channels/${encodeURIComponent(name)}/history${query({ ...from, limit, session: host.session })}`, signal);
    if (signal.aborted) throw new Error('aborted');
    each(page);
    if (!page.more) return page.cursor;
    from = { cursor: page.cursor };
  }
}

/** Delivers the retained messages of the channel after its own start, ahead of its cursor. */
async function catchUp(host: Host, c: Channel, signal: AbortSignal): Promise<string> {
  return readHistory(host, c.name, c.from, signal, (page) => {
    for (const g of page.gap ?? []) c.gap(g);
    for (const m of page.messages) c.takeAhead(m);
  });
}

/** Whether the channel begins with the next message. */
function isNew(c: Channel): boolean {
  return !c.cursor && c.from.last === undefined;
}

/** The cursor that most of these channels have; at least one of them must have one. */
function common(channels: Channel[]): string {
  const count: Record<string, number> = {};
  let best = '';
  for (const { cursor } of channels) {
    if (!cursor) continue;
    count[cursor] = (count[cursor] ?? 0) + 1;
    if (!best || count[cursor]! > count[best]!) best = cursor;
  }
  return best;
}

/** Moves a channel to the cursor from which the stream continues. */
export async function bring(host: Host, c: Channel, target: string, signal: AbortSignal): Promise<void> {
  const marked: string[] = [];
  let gap = false;
  await readHistory(host, c.name, { cursor: target }, signal, (page) => {
    gap ||= !!page.gap;
    for (const m of page.messages) marked.push(m.cursor);
  });
  if (!isNew(c)) await catchUp(host, c, signal);
  for (const cursor of marked) c.seen.add(cursor);
  c.cursor = target;
  if (PRESENCE) c.roster?.forget(); // presence events in between are not read
  c.skipGap = gap;
}

/**
 * Moves the channels to one cursor and returns it; undefined if all of them
 * begin now and settled is false.
 */
export async function align(host: Host, channels: Channel[], settled: boolean, signal: AbortSignal): Promise<string | undefined> {
  const first = channels[0]!;
  if (!channels.some((c) => c.cursor)) {
    if (!settled && channels.every(isNew)) return undefined;
    first.cursor = isNew(first) ? await now(host, first, signal) : await catchUp(host, first, signal);
  }
  const target = common(channels);
  for (const c of channels) if (c.cursor !== target) await bring(host, c, target, signal);
  return target;
}

/** The current cursor; throws if the server refuses the channel. */
export function now(host: Host, c: Channel, signal: AbortSignal): Promise<string> {
  return readHistory(host, c.name, { last: 0 }, signal, () => {});
}
