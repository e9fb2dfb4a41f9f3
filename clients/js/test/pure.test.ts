// Decisions that need no network.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../src/backoff.js';
import { Channel } from '../src/channel.js';
import { EventParser } from '../src/events.js';
import { Ladder } from '../src/ladder.js';
import { Tokens } from '../src/token.js';
import { closed, decode, encode, lost, refused } from '../src/wire.js';

test('waits are random between half a second and twice as long after each failure, to 20 s', () => {
  for (let failures = 0; failures < 100; failures++) {
    const upto = Math.min(20_000, 1_000 * 2 ** failures);
    assert.equal(backoff(failures, () => 0), 500);
    const most = backoff(failures, () => 1 - Number.EPSILON);
    assert.ok(most <= upto && most > upto - 1, `${failures} failures: at most ${most}`);
  }
});

test('a round tries each transport once, beginning with what worked', () => {
  const stored = new Map<string, string>([['k', 'poll']]);
  const storage = { getItem: (k: string) => stored.get(k) ?? null, setItem: (k: string, v: string) => stored.set(k, v) };
  Object.defineProperty(globalThis, 'sessionStorage', { value: storage, configurable: true });
  const ladder = new Ladder(['ws', 'sse', 'poll'], 'k');
  const round = () => [ladder.first(), ladder.next(), ladder.next(), ladder.next()];
  assert.deepEqual(round(), ['poll', 'ws', 'sse', undefined]);
  ladder.worked('sse');
  assert.equal(stored.get('k'), 'sse');
  assert.deepEqual(round(), ['sse', 'ws', 'poll', undefined]);
  Object.defineProperty(globalThis, 'sessionStorage', {
    configurable: true,
    get() {
      throw new Error('forbidden');
    },
  });
  const other = new Ladder(['ws', 'sse'], 'k');
  other.worked('sse');
  assert.equal(other.first(), 'sse');
  assert.equal(new Ladder(['sse', 'poll'], 'k').first(), 'sse');
});

test('close codes say whether to come back', () => {
  const of = (code: number, reason = '') => {
    const e = closed(code, reason);
    return [e.code, !!e.busy, !!e.final];
  };
  assert.deepEqual(of(1006), ['network', false, false]);
  assert.deepEqual(of(1001), ['closed_1001', true, false]);
  assert.deepEqual(of(1001, 'draining: the server is going away; retry in 2731 ms'), ['draining', true, false]);
  assert.deepEqual(of(1013, 'log_full: too slow'), ['log_full', true, false]);
  assert.deepEqual(of(4429), ['closed_4429', true, false]);
  assert.deepEqual(of(4401, 'expired: get a new token'), ['unauthorised', false, true]);
  assert.deepEqual(of(4400, 'bad_format: no'), ['bad_format', false, true]);
  assert.deepEqual(of(4410, 'disconnected: by the backend'), ['disconnected', false, true]);
  assert.equal(closed(1001, 'draining: the server is going away; retry in 2731 ms').after, 2731);
  assert.equal(closed(1013, 'slow: take more; retry in 4000 ms').after, 4000);
  assert.equal(closed(4429, 'too_many_connections: x; retry in 6500 ms').after, 6500);
  assert.equal(closed(1013, 'slow: take more').after || 0, 0);
  assert.deepEqual(of(4413), ['closed_4413', false, true]);
});

test('statuses say whether to come back', () => {
  const of = (status: number, retryAfter: string | null, body: string) => {
    const e = refused(status, retryAfter, body);
    return [e.code, !!e.busy, !!e.final, e.after || 0];
  };
  const ours = '{"error":{"code":"bad_channel","message":"no"}}';
  assert.deepEqual(of(503, '3', ''), ['http_503', true, false, 3000]);
  assert.deepEqual(of(429, null, ours), ['bad_channel', true, false, 0]);
  assert.deepEqual(of(400, null, ours), ['bad_channel', false, true, 0]);
  assert.deepEqual(of(404, null, '<h1>proxy</h1>'), ['http_404', false, false, 0], 'a proxy is not believed');
  assert.deepEqual(of(502, null, ''), ['http_502', false, false, 0]);
  assert.deepEqual(of(204, null, ''), ['disconnected', false, true, 0]);
  assert.deepEqual(of(410, null, '{"error":{"code":"disconnected","message":"no"}}'), ['disconnected', false, true, 0]);
  assert.equal(of(401, null, ours)[0], 'unauthorised');
  assert.deepEqual(of(401, null, '{"error":{"code":"token_missing","message":"no"}}'), ['token_missing', false, true, 0]);
  // To publish there is no other way: what a proxy refuses is refused.
  assert.equal(refused(404, null, '<h1>proxy</h1>', '{}').final, true);
  assert.equal(refused(403, null, '', '{}').final, true);
  assert.equal(refused(429, null, '<h1>proxy</h1>', '{}').final, false);
  assert.equal(refused(502, null, '', '{}').final, false);
});

test('an event stream reads the same however it is cut', () => {
  const text = 'retry: 3000\nid: c-1\n\nevent: gap\ndata: {"a":1}\n\n: comment\nid: c-2\ndata: x\ndata:  y\ndata\n\nid\n\nretry: 9';
  const all = (pieces: string[]) => {
    const parser = new EventParser();
    return [pieces.flatMap((p) => parser.push(p)), parser.retry];
  };
  const want = [[{ id: 'c-1' }, { event: 'gap', data: '{"a":1}' }, { id: 'c-2', data: 'x\n y\n' }, { id: '' }], 3000];
  for (let cut = 0; cut <= text.length; cut++) {
    assert.deepEqual(all([text.slice(0, cut), text.slice(cut)]), want, `cut at ${cut}`);
  }
  assert.deepEqual(all([...text]), want);
});

test('data is text, bytes, or the JSON of anything else', () => {
  assert.deepEqual(encode('grüße'), { data: 'grüße' });
  assert.deepEqual(encode({ a: [1] }), { data: '{"a":[1]}' });
  const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
  for (const data of [bytes, bytes.buffer]) {
    const { data_base64 } = encode(data);
    assert.deepEqual(decode({ channel: 'c', cursor: 'x', time: 1, data_base64 }).data, bytes);
  }
});

test('a channel hands each message on once, also what was fetched ahead', () => {
  const c = new Channel('c', {});
  const got: string[] = [];
  c.handlers.add({ onMessage: (m) => got.push(m.cursor), onGap: (g) => got.push('gap to ' + g.to) });
  const m = (cursor: string) => ({ channel: 'c', cursor, time: 0, data: '' });
  const gap = (to: string) => ({ channel: 'c', to, reason: 'discarded' });
  c.take(m('1'));
  c.takeAhead(m('3'));
  c.takeAhead(m('4'));
  for (const cursor of ['3', '4', '5']) c.take(m(cursor));
  assert.equal(c.cursor, '5');
  assert.equal(c.seen.size, 0);
  c.gap(gap('7'));
  c.skipGap = true;
  c.gap(gap('9'));
  c.gap(gap('11'));
  assert.equal(c.cursor, '11');
  assert.deepEqual(got, ['1', '3', '4', '5', 'gap to 7', 'gap to 11']);
});

test('a handler that throws stops neither the others nor the channel', () => {
  const c = new Channel('c', {});
  const got: string[] = [];
  c.handlers.add({
    onMessage: () => {
      throw new Error('mine');
    },
  });
  c.handlers.add({ onMessage: (m) => got.push(m.cursor) });
  const real = globalThis.setTimeout;
  let report = () => {};
  globalThis.setTimeout = ((f: () => void) => (report = f)) as unknown as typeof setTimeout;
  c.take({ channel: 'c', cursor: '1', time: 0, data: '' });
  globalThis.setTimeout = real;
  assert.deepEqual(got, ['1']);
  assert.throws(report, /mine/, 'it is thrown where the page can see it');
});

test('a token is asked for once for all, and again when it is refused', async () => {
  let asked = 0;
  const tokens = new Tokens({ getToken: async () => 'token' + ++asked });
  await Promise.all([tokens.get(), tokens.get(), tokens.get()]);
  assert.equal(tokens.token, 'token1');
  tokens.refuse('token1', lost('no'));
  tokens.refuse('token1', lost('no'));
  await Promise.all([tokens.get(), tokens.get()]);
  tokens.refuse('token1', lost('of an old request'));
  await tokens.get();
  assert.deepEqual([tokens.token, asked], ['token2', 2]);
  await Promise.all([tokens.get(true), tokens.get(true)]);
  assert.deepEqual([tokens.token, asked], ['token3', 3]);
  await new Tokens({}).get();
});
