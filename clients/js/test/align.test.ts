// Channels at different cursors meet at one, against a model of the server, with
// publications in between every two requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { align } from '../src/align.js';
import { Branch } from '../src/branch.js';
import { Channel } from '../src/channel.js';
import type { Host } from '../src/link.js';
import { Tokens } from '../src/token.js';
import type { WireMessage } from '../src/wire.js';

/** Numbers in [0, n), the same for the same seed. */
function randomOf(seed: number): (n: number) => number {
  return (n) => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
}

/** A log whose cursors say nothing about their order. */
class Model {
  messages: WireMessage[] = [];
  head = 0;
  readonly discarded: Record<string, number> = {};
  constructor(
    private random: (n: number) => number,
    private channels: string[],
  ) {}

  cursor(sequence: number): string {
    return 'c' + ((sequence * 7919) % 10_007).toString(36);
  }

  sequence(cursor: string): number {
    if (cursor === 'earliest') return 0;
    for (let s = 0; s <= this.head; s++) if (this.cursor(s) === cursor) return s;
    throw new Error('a cursor that the server never gave: ' + cursor);
  }

  publish(some: number): void {
    for (let n = this.random(some); n > 0; n--) {
      const channel = this.channels[this.random(this.channels.length)]!;
      this.messages.push({ channel, cursor: this.cursor(++this.head), time: 0, data: String(this.head) });
    }
  }

  after(channel: string, sequence: number): WireMessage[] {
    return this.messages.filter((m) => m.channel === channel && this.sequence(m.cursor) > Math.max(sequence, this.discarded[channel] ?? 0));
  }

  /** GET /channels/{c}/history. */
  fetch = async (url: string | URL | Request): Promise<Response> => {
    this.publish(3);
    const { pathname, searchParams } = new URL(String(url));
    const channel = decodeURIComponent(pathname.split('/')[2]!);
    const cursor = searchParams.get('cursor');
    const last = searchParams.get('last');
    const from = cursor ? this.sequence(cursor) : this.head;
    let messages = this.after(channel, from);
    if (last) messages = Number(last) ? this.after(channel, 0).slice(-last) : [];
    const page = messages.slice(0, 2);
    const more = page.length < messages.length;
    const gap = cursor && cursor !== 'earliest' && from < (this.discarded[channel] ?? 0) ? [{ channel, to: this.cursor(this.discarded[channel]!), reason: 'discarded' }] : undefined;
    const body = { channel, cursor: more ? page.at(-1)!.cursor : this.cursor(this.head), gap, messages: page, more };
    this.publish(3);
    // The answer takes its time, and the trunk of a branch goes on.
    for (let n = this.random(4); n > 0; n--) await new Promise((done) => setImmediate(done));
    return new Response(JSON.stringify(body));
  };
}

const names = ['a', 'b', 'c', 'd', 'e'];

test('aligned channels lose and repeat nothing, wherever each began', async () => {
  const real = globalThis.fetch;
  for (let seed = 1; seed <= 400; seed++) {
    const random = randomOf(seed);
    const model = new Model(random, names);
    globalThis.fetch = model.fetch as typeof fetch;
    model.publish(40);
    const got: Record<string, string[]> = {};
    const begun: Record<string, number | undefined> = {};
    const channels = names.slice(0, 2 + random(4)).map((name) => {
      const kind = random(5);
      const at = random(model.head + 1);
      begun[name] = [at, at, undefined, 0, 0][kind];
      const c = new Channel(name, kind === 2 ? {} : kind === 4 ? { cursor: 'earliest' } : { cursor: model.cursor(begun[name]!) });
      got[name] = [];
      c.handlers.add({ onMessage: (m) => got[name]!.push(m.data as string), onGap: () => got[name]!.push('gap') });
      return c;
    });
    if (random(4) === 0) model.discarded[names[0]!] = random(model.head + 1);
    const before = model.head;
    const host = { url: 'http://model', tokens: new Tokens({}) } as Host;
    const target = await align(host, channels, true, new AbortController().signal);
    // The stream from there: gaps first, then the merge of all.
    model.publish(10);
    const from = model.sequence(target!);
    for (const c of channels) {
      assert.equal(c.cursor, target);
      if (target !== 'earliest' && from < (model.discarded[c.name] ?? 0)) c.gap({ channel: c.name, to: target!, reason: 'discarded' });
    }
    for (const m of model.messages.filter((m) => model.sequence(m.cursor) > from)) {
      if (model.sequence(m.cursor) > (model.discarded[m.channel] ?? 0)) channels.find((c) => c.name === m.channel)?.take({ ...m, data: m.data! });
    }
    for (const c of channels) {
      const list = got[c.name]!;
      const start = begun[c.name] ?? before;
      const want = model.after(c.name, start).map((m) => m.data!);
      if (begun[c.name] === undefined) {
        // It began at some moment after the question: a tail of it, from there.
        assert.deepEqual(list, want.slice(want.length - list.length), `seed ${seed}, ${c.name} from now on`);
        assert.ok(list.length >= model.after(c.name, before + 1000).length);
        continue;
      }
      const told = begun[c.name]! > 0 && begun[c.name]! < (model.discarded[c.name] ?? 0);
      assert.deepEqual(list.filter((x) => x !== 'gap'), want, `seed ${seed}, ${c.name} after ${begun[c.name]}`);
      if (told) assert.deepEqual(list.filter((x) => x === 'gap'), ['gap'], `seed ${seed}: the gap of ${c.name} is told once`);
    }
  }
  globalThis.fetch = real;
});

test('a branch loses and repeats nothing, ahead of its trunk or behind it', async () => {
  const real = globalThis.fetch;
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomOf(seed);
    const model = new Model(random, ['a', 'b']);
    globalThis.fetch = model.fetch as typeof fetch;
    model.publish(30);
    const at = random(model.head + 1);
    let trunk = random(model.head + 1); // what the trunk has said
    const got: string[] = [];
    const c = new Channel('a', { cursor: model.cursor(at) });
    c.handlers.add({ onMessage: (m) => got.push(m.data as string) });
    const branch = new Branch({ url: 'http://model', tokens: new Tokens({}) } as Host, c, () => assert.fail('asked again'));
    const say = (upto: number) => {
      for (const m of model.after('a', trunk)) if (model.sequence(m.cursor) <= upto) branch.message({ ...m, data: m.data! });
      trunk = Math.max(trunk, upto);
    };
    branch.live(model.cursor(trunk));
    while (c.state !== 'live') {
      if (random(2)) say(Math.min(model.head, trunk + random(4)));
      await new Promise((done) => setImmediate(done));
    }
    model.publish(10);
    say(model.head);
    assert.deepEqual(got, model.after('a', at).map((m) => m.data), `seed ${seed}, from ${at}`);
  }
  globalThis.fetch = real;
});
