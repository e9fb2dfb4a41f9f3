// The list of who is there, against a server that is random by a seed; and the
// words for it on each transport.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Channel } from '../src/channel.js';
import type { Host } from '../src/link.js';
import { Peal } from '../src/peal.js';
import { Roster } from '../src/roster.js';
import { Tokens } from '../src/token.js';
import type { Member, Presence } from '../src/types.js';
import type { WirePresence } from '../src/wire.js';

const real = globalThis.fetch;
/** Requests that wait for their answer. */
let asked: Array<{ url: string; page?: Response; answer: (r: Response | Error) => void }>;

beforeEach(() => {
  asked = [];
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  globalThis.fetch = (url, init) =>
    new Promise((done, fail) => {
      const answer = (r: Response | Error) => (r instanceof Error ? fail(r) : done(r));
      init!.signal!.addEventListener('abort', () => answer(new Error('aborted')));
      asked.push({ url: String(url), answer });
    });
});
afterEach(() => {
  mock.timers.reset();
  globalThis.fetch = real;
});

const turn = async () => {
  for (let n = 0; n < 50; n++) await Promise.resolve();
};
async function pass(milliseconds: number): Promise<void> {
  mock.timers.tick(milliseconds);
  await turn();
}

function randomOf(seed: number): (n: number) => number {
  return (n) => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
}

/** Members of a channel, and what of their changes is on its way to the client. */
class Model {
  members = new Map<string, Member>();
  way: Array<WirePresence | 'gap'> = [];
  private sequence = 0;

  change(random: (n: number) => number): void {
    const before = new Map(this.members);
    for (let n = random(3); n >= 0; n--) this.toggle('c' + random(6), String(random(3)));
    if (random(40) === 0) for (let n = 0; n < 120; n++) this.toggle('crowd' + n, '');
    const join = [...this.members.values()].filter((m) => before.get(m.client)?.info !== m.info);
    const leave = [...before.values()].filter((m) => !this.members.has(m.client)).map(({ client }) => ({ client }));
    const count = this.members.size;
    const head = { channel: 'a', cursor: 'p' + ++this.sequence, count };
    const named = join.length + leave.length <= 100 && count <= 100 && random(10) > 0;
    this.way.push(named ? { ...head, join, leave } : ({ ...head, joined: join.length, left: leave.length } as WirePresence));
  }

  private toggle(client: string, info: string): void {
    if (this.members.get(client)?.info === info) this.members.delete(client);
    else this.members.set(client, { client, info });
  }

  page(): Response {
    const members = [...this.members.values()].sort((a, b) => (a.client < b.client ? -1 : 1));
    const next = members.length > 100 ? { next: members[99]!.client } : {};
    return Response.json({ channel: 'a', cursor: 'c', count: members.length, anonymous: 0, members: members.slice(0, 100), ...next });
  }
}

const sorted = (members: Iterable<Member>) => [...members].map((m) => m.client + '=' + m.info).sort().join();

test('the list is right whenever nothing is on its way', async () => {
  let withNames = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const random = randomOf(seed);
    const model = new Model();
    const channel = new Channel('a', {});
    const host = { url: 'http://model', tokens: new Tokens({}), channels: new Map([['a', channel]]), wake: () => {} } as unknown as Host & { wake(): void };
    channel.roster = new Roster(host, channel);
    let last: Presence | undefined;
    const onPresence = (p: Presence) => {
      last = p;
      if (p.members && p.join.length + p.leave.length) withNames++;
    };
    channel.handlers.add({ onPresence });
    channel.become('live');
    const deliver = () => {
      const next = model.way.shift();
      if (next === 'gap') channel.roster!.missed({ channel: '$presence:a', to: 'p', reason: 'discarded' });
      else if (next) channel.take(next);
    };
    // The server looks at some time between question and answer.
    const look = () => {
      for (const a of asked) a.page ??= model.page();
    };
    const answer = () => {
      look();
      const a = asked.shift();
      a?.answer(a.page!);
    };
    for (let step = 0; step < 60; step++) {
      const choice = random(12);
      if (choice < 4) model.change(random);
      else if (choice < 8) deliver();
      else if (choice < 9) random(2) ? look() : answer();
      else if (choice < 10) asked.shift()?.answer(new Error('network'));
      else if (choice === 10 && random(3) === 0) model.way = ['gap']; // the connection was lost
      else if (choice === 11 && random(3) === 0) {
        model.way = []; // another transport, from another cursor
        channel.roster.forget();
        channel.become('live');
      }
      await turn();
      if (random(4) === 0) await pass(20_000);
    }
    for (let n = 0; n < 10; n++) {
      while (model.way.length) deliver();
      while (asked.length) answer();
      await pass(20_000);
    }
    assert.equal(last!.count, model.members.size, `seed ${seed}`);
    assert.equal(last!.members && sorted(last!.members), model.members.size > 100 ? undefined : sorted(model.members.values()), `seed ${seed}`);
  }
  assert.ok(withNames > 100, `only ${withNames} events had names`);
});

test('a list that cannot be had is asked for again, and not when nobody wants it', async () => {
  const channel = new Channel('a', {});
  const channels = new Map([['a', channel]]);
  let woken = 0;
  const host = { url: 'http://model', tokens: new Tokens({}), channels, wake: () => woken++ } as unknown as Host & { wake(): void };
  channel.roster = new Roster(host, channel);
  channel.become('live');
  assert.equal(asked[0]!.url, 'http://model/channels/a/presence?limit=100');
  asked.shift()!.answer(new Response('', { status: 503 }));
  await turn();
  await pass(1_000);
  assert.equal(asked.length, 1);
  asked.shift()!.answer(new Error('network'));
  await turn();
  channels.clear();
  await pass(20_000);
  assert.equal(asked.length, 0, 'it was left');

  channels.set('a', channel);
  channel.roster.forget();
  channel.roster.check();
  const errors: string[] = [];
  channel.handlers.add({ onState: (state, e) => errors.push(state + ' ' + e?.code) });
  asked.shift()!.answer(Response.json({ error: { code: 'presence_off', message: '' } }, { status: 403 }));
  await turn();
  assert.deepEqual([errors, woken], [['stopped presence_off'], 1]);
});

test('a poll asks for presence, and hands on events and gaps of it', async () => {
  const told: Presence[] = [];
  const gaps: string[] = [];
  const peal = new Peal('http://server', { transports: ['poll'], client: 'ann', info: 'A & B' });
  peal.subscribe('a', { cursor: 'c0', onPresence: (p) => told.push(p), onGap: (g) => gaps.push(g.channel) });
  await turn();
  await pass(1);
  const answer = async (path: RegExp, body: object) => {
    const found = asked.find((a) => path.test(a.url));
    assert.ok(found, `${path} in ${asked.map((a) => a.url).join(' ')}`);
    asked = asked.filter((a) => a !== found);
    found.answer(Response.json(body));
    await turn();
  };
  const poll = /\/poll\?channel=a&presence=1&client=ann&info=A%20%26%20B&/;
  const list = /\/channels\/a\/presence\?limit=100$/;
  const ann = { client: 'ann', info: 'A & B' };
  const event = { channel: 'a', cursor: 'c1', count: 2, join: [{ client: 'bob' }], leave: [] };
  await answer(poll, { cursor: 'c1', presence: [event], messages: [] });
  assert.deepEqual(told, [], 'the list comes first');
  await answer(list, { count: 1, members: [ann] });
  assert.deepEqual(told, [{ channel: 'a', count: 2, members: [ann, { client: 'bob' }], join: [], leave: [] }]);
  await pass(500);
  await answer(poll, { cursor: 'c2', presence: [{ ...event, count: 1, join: [], leave: [{ client: 'bob' }] }], messages: [] });
  assert.deepEqual(told[1], { channel: 'a', count: 1, members: [ann], join: [], leave: [{ client: 'bob' }] });
  await pass(500);
  await answer(poll, { cursor: 'c3', gap: [{ channel: '$presence:a', to: 'c3', reason: 'discarded' }], messages: [] });
  await answer(list, { count: 1, members: [{ client: 'eve' }] });
  assert.deepEqual(told[2], { channel: 'a', count: 1, members: [{ client: 'eve' }], join: [], leave: [] });
  assert.deepEqual(gaps, [], 'it is no gap of the channel');
  await pass(500);
  // A server may be set to name more than 100.
  await answer(poll, { cursor: 'c4', presence: [{ ...event, count: 150 }], messages: [] });
  assert.deepEqual(told[3], { channel: 'a', count: 150, members: undefined, join: [{ client: 'bob' }], leave: [] });
  await pass(500);
  await answer(poll, { cursor: 'c5', presence: [{ channel: 'a', cursor: 'c5', count: 200, joined: 199, left: 0 }], messages: [] });
  assert.deepEqual(told[4], { channel: 'a', count: 200, joined: 199, left: 0, members: undefined, join: [], leave: [] });
  assert.equal(asked.some((a) => list.test(a.url)), false, 'of a crowd there is no list');
  peal.close();
});

test('a page of the list is asked for as it is wanted', async () => {
  const peal = new Peal('http://server', { transports: ['poll'], getToken: async () => 'secret' });
  const page = peal.presence('a/b', { after: 'ann', limit: 2 });
  await turn();
  assert.equal(asked[0]!.url, 'http://server/channels/a%2Fb/presence?after=ann&limit=2');
  asked[0]!.answer(Response.json({ count: 7 }));
  assert.equal((await page).count, 7);
  peal.close();
});
