import type { Channel } from './channel.js';
import { askJSON, query } from './http.js';
import type { Host } from './link.js';
import type { WireMessage } from './wire.js';
import type { Gap } from './types.js';

// An event stream, or a poll, takes one cursor for all of its channels. Cursors
// are opaque: two are equal or not, and nothing tells which is older. So the
// channels are brought to one of them before.
//
// T is the cursor that most channels have. A channel that is at x instead gets
// two looks at its history, in this order:
//
//	H = what is retained after T        only marked as seen, not handed on
//	X = what is retained after x        handed on, and marked as seen
//
// H was asked first, so X has all of H that is newer than x; what else is in H
// is not newer than x and was handed on before. Therefore everything after T
// that is not in H or X is new: the channel may stand at T, and what comes in H
// or X is dropped. A channel that begins now has no X.

interface Page {
  cursor: string;
  gap?: Gap[];
  messages: WireMessage[];
  more: boolean;
}

/** Reads what is retained of a channel, page by page, and returns the cursor behind it. */
export async function readHistory(
  host: Host,
  name: string,
  from: { cursor?: string; last?: number },
  signal: AbortSignal,
  each: (page: Page) => void,
): Promise<string> {
  for (;;) {
    const limit = Math.min(1000, from.last || 1000);
    const page = await askJSON<Page>(host, `/channels/${encodeURIComponent(name)}/history${query({ ...from, limit })}`, signal);
    if (signal.aborted) throw new Error('aborted');
    each(page);
    if (!page.more) return page.cursor;
    from = { cursor: page.cursor };
  }
}

/** Hands on what is retained of the channel after its own beginning, ahead of its cursor. */
async function catchUp(host: Host, c: Channel, signal: AbortSignal): Promise<string> {
  return readHistory(host, c.name, c.from, signal, (page) => {
    for (const g of page.gap ?? []) c.gap(g);
    for (const m of page.messages) c.takeAhead(m);
  });
}

/** Whether the channel begins with what comes from now on. */
function isNew(c: Channel): boolean {
  return !c.cursor && c.from.last === undefined;
}

/** The cursor that most of these channels have, one of which has one. */
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

/** Brings a channel to the cursor, where all that follows will come from. */
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
  if (PRESENCE) c.roster?.forget(); // events of between are not read
  c.skipGap = gap;
}

/**
 * Brings the channels to one cursor and returns it; undefined if all of them
 * begin now and settled is not asked for.
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

/** The cursor that stands for now; throws if the server refuses the channel. */
export function now(host: Host, c: Channel, signal: AbortSignal): Promise<string> {
  return readHistory(host, c.name, { last: 0 }, signal, () => {});
}
