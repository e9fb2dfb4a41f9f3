// The WebSocket link and the connection, with a WebSocket and a clock of ours.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Peal } from '../src/peal.js';
import type { Options, StateDetail } from '../src/types.js';

class FakeSocket {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!;
  }
  readyState = 1;
  sent: Array<Record<string, unknown>> = [];
  onmessage?: (e: { data: string }) => void;
  onclose?: (e: { code: number; reason: string }) => void;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(code = 1006, reason = ''): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  /** Takes what was sent since, and answers with the cursor. */
  answer(command: string, cursor?: string): Record<string, unknown> {
    const found = this.sent.find((s) => s.command === command);
    assert.ok(found, `${command} in ${JSON.stringify(this.sent)}`);
    this.sent = this.sent.filter((s) => s !== found);
    this.say({ id: found.id, ok: true, cursor });
    return found;
  }
}

let states: string[];
let details: StateDetail[];

beforeEach(() => {
  FakeSocket.all = [];
  states = [];
  details = [];
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
});
afterEach(() => mock.timers.reset());

const turn = async () => {
  for (let n = 0; n < 10; n++) await Promise.resolve();
};

/** Lets time pass, and what it starts begin. */
async function pass(milliseconds: number): Promise<void> {
  mock.timers.tick(milliseconds);
  await turn();
}

function client(options: Options = {}): Peal {
  return new Peal('http://server/at/', {
    WebSocket: FakeSocket as unknown as typeof WebSocket,
    transports: ['ws'],
    onState: (state, detail) => {
      states.push(state);
      details.push(detail);
    },
    ...options,
  });
}

test('silence is asked about, and no answer is the end', async () => {
  const peal = client();
  peal.subscribe('a', () => {});
  await turn();
  const socket = FakeSocket.last;
  assert.equal(socket.url, 'ws://server/at/ws?session=' + peal.session);
  socket.say({ connected: {} });
  socket.answer('subscribe', 'c1');
  socket.answer('ping', 'c1');
  await pass(29_999);
  assert.deepEqual(socket.sent, []);
  await pass(1);
  socket.answer('ping', 'c2');
  await pass(29_999);
  assert.deepEqual(socket.sent, []);
  await pass(1);
  await pass(4_999);
  assert.equal(peal.state, 'live');
  await pass(1);
  assert.equal(peal.state, 'waiting');
  assert.equal(peal.error?.code, 'network');
  await pass(1_000);
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.say({ connected: {} });
  assert.equal(FakeSocket.last.answer('subscribe', 'c3').cursor, 'c2', 'it resumes where the last answer stood');
  peal.close();
});

test('a socket that says nothing is given up after 2.5 s', async () => {
  const peal = client();
  peal.subscribe('a', () => {});
  await turn();
  await pass(2_499);
  assert.equal(peal.state, 'connecting');
  await pass(1);
  assert.equal(peal.state, 'waiting');
  peal.close();
});

test('waits grow with each failure and are short again after a stable minute', async () => {
  const random = mock.method(Math, 'random', () => 0.999999);
  const peal = client();
  peal.subscribe('a', () => {});
  await turn();
  const waits: number[] = [];
  const fail = async () => {
    FakeSocket.last.close(1006);
    waits.push(Math.round(details.at(-1)!.retryIn!));
    await pass(waits.at(-1)! + 1);
  };
  for (let n = 0; n < 7; n++) await fail();
  const live = async (milliseconds: number) => {
    FakeSocket.last.say({ connected: {} });
    for (let passed = 0; passed < milliseconds; passed += 10_000) {
      await pass(10_000);
      FakeSocket.last.say({ connected: {} }); // anything
    }
    await fail();
  };
  await live(50_000);
  await live(60_000);
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000, 1_000]);
  random.mock.restore();
  peal.close();
});

test('close codes that say so stop for good; others do not', async () => {
  for (const [code, state] of [
    [1001, 'waiting'],
    [1013, 'waiting'],
    [4429, 'waiting'],
    [4400, 'stopped'],
    [4403, 'stopped'],
    [4410, 'stopped'],
    [4401, 'stopped'],
  ] as const) {
    const peal = client();
    let channel = '';
    peal.subscribe('a', { onState: (s) => (channel = s) });
    await turn();
    FakeSocket.last.say({ connected: {} });
    FakeSocket.last.close(code, 'why: because');
    assert.equal(peal.state, state, String(code));
    if (state === 'stopped') {
      assert.equal(channel, 'stopped');
      assert.throws(() => peal.subscribe('b', () => {}), /because/);
    }
    peal.close();
  }
});

test('a refused token is renewed once', async () => {
  let asked = 0;
  const peal = client({ getToken: async () => 'token' + ++asked });
  peal.subscribe('a', () => {});
  await turn();
  assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.token1']);
  assert.ok(!FakeSocket.last.url.includes('token'), 'the token is not in the URL');
  FakeSocket.last.close(4401, 'token_expired: get a new one');
  await turn();
  assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.token2']);
  FakeSocket.last.close(4401, 'token_invalid: wrong secret');
  assert.equal(peal.state, 'stopped');
  assert.deepEqual([peal.error?.code, peal.error?.message], ['unauthorised', 'wrong secret']);
  assert.equal(FakeSocket.all.length, 2);
});

test('each token that works may expire: the next one is requested every time', async () => {
  let asked = 0;
  const peal = client({ getToken: async () => 'token' + ++asked });
  peal.subscribe('a', () => {});
  await turn();
  for (let n = 1; n <= 5; n++) {
    assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.token' + n]);
    FakeSocket.last.say({ connected: {} });
    FakeSocket.last.close(4401, 'token_expired: get a new one');
    assert.equal(peal.state, 'waiting', 'for a random time');
    await pass(20_000);
  }
  peal.close();
});

test('the same token again is final, and so is a token that cannot be renewed', async () => {
  let asked = 0;
  const cached = async () => (asked++, 'cached');
  for (const options of [{ getToken: cached }, { token: 'cached' }]) {
    FakeSocket.all = [];
    const peal = client(options);
    peal.subscribe('a', () => {});
    await turn();
    assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.cached']);
    FakeSocket.last.say({ connected: {} });
    FakeSocket.last.close(4401, 'token_expired: get a new one');
    await pass(1_000);
    assert.equal(peal.state, 'stopped');
    assert.deepEqual([peal.error?.code, peal.error?.message], ['unauthorised', 'get a new one']);
    assert.equal(FakeSocket.all.length, 1);
  }
  assert.equal(asked, 2);
});

test('a user without a token is stopped, a backend without an answer is called again', async () => {
  for (const [result, state] of [
    [() => null, 'stopped'],
    [() => 'no token', 'stopped'],
    [() => Promise.reject(Object.assign(new Error('logged out'), { code: 'unauthorised' })), 'stopped'],
    [() => Promise.reject(new Error('no network')), 'waiting'],
  ] as const) {
    const peal = client({ getToken: async () => result() });
    peal.subscribe('a', () => {});
    await turn();
    assert.equal(peal.state, state, String(result));
    assert.equal(peal.error?.code, state === 'stopped' ? 'unauthorised' : 'network');
    assert.equal(FakeSocket.all.length, 0);
    peal.close();
  }
});

/** A client with the channels a and b, live. */
async function renewing(getToken: () => Promise<string | null>): Promise<[Peal, FakeSocket]> {
  const peal = client({ getToken });
  peal.subscribe('a', () => {});
  peal.subscribe('b', () => {});
  await turn();
  FakeSocket.last.say({ connected: {} });
  FakeSocket.last.answer('subscribe', 'c1');
  FakeSocket.last.answer('ping', 'c1');
  return [peal, FakeSocket.last];
}

test('a warning renews the token of the live connection', async () => {
  let asked = 0;
  const [peal, socket] = await renewing(async () => 'token' + ++asked);
  const told: string[] = [];
  peal.subscribe('b', { onState: (state, error) => told.push(state + ' ' + error?.code) });
  socket.say({ token_expires: { in: 20 } });
  await turn();
  const [command] = socket.sent;
  assert.deepEqual([command!.command, command!.token], ['token', 'token2']);
  // b is not granted any more: its own subscription says so.
  socket.sent = [];
  socket.say({ id: command!.id, ok: true, unsubscribed: ['b'] });
  const [again] = socket.sent;
  assert.deepEqual([again!.command, again!.channel], ['subscribe', ['b']]);
  assert.equal(again!.cursor, 'c1');
  socket.say({ id: again!.id, error: { code: 'not_granted', message: 'no' } });
  assert.deepEqual(told, ['live undefined', 'stopped not_granted']);
  assert.equal(peal.state, 'live');
  assert.equal(FakeSocket.all.length, 1);
  // A reconnect uses the new token.
  socket.close(1006);
  await pass(1_000);
  assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.token2']);
  assert.equal(asked, 2);
  peal.close();
});

test('a renewal that the server refuses is tried with another token, then final', async () => {
  let asked = 0;
  const [peal, socket] = await renewing(async () => 'token' + ++asked);
  socket.say({ token_expires: { in: 20 } });
  await turn();
  socket.say({ id: socket.sent[0]!.id, error: { code: 'token_invalid', message: 'no' } });
  await pass(1_000);
  assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.token3']);
  assert.equal(socket.readyState, 3);
  FakeSocket.last.close(4401, 'token_invalid: no');
  await turn();
  assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.token4']);
  FakeSocket.last.close(4401, 'token_invalid: no');
  await turn();
  assert.equal(peal.state, 'stopped');
  // Without the command there is the connection.
  const [other, its] = await renewing(async () => 'token' + ++asked);
  its.say({ token_expires: { in: 20 } });
  await turn();
  its.say({ id: its.sent[0]!.id, error: { code: 'rate_limited', message: 'later' } });
  assert.equal(other.state, 'waiting');
  await pass(1_000);
  assert.deepEqual(FakeSocket.last.protocols, ['peal.v1', 'peal.token.token6']);
  other.close();
});

test('after a warning getToken is called until it responds; the same token again is no renewal', async () => {
  const tokens = [async () => 'one', () => Promise.reject(new Error('no network')), async () => 'one'];
  const [peal, socket] = await renewing(() => tokens.shift()!());
  socket.say({ token_expires: { in: 20 } });
  await turn();
  assert.equal(tokens.length, 1);
  await pass(1_000);
  assert.equal(tokens.length, 0);
  assert.deepEqual(socket.sent, []);
  assert.equal(peal.state, 'live');
  peal.close();

  const [other, its] = await renewing(async () => (tokens.push(async () => ''), tokens.length < 2 ? 'one' : null));
  its.say({ token_expires: { in: 20 } });
  await turn();
  assert.equal(other.state, 'stopped', 'a user that has no token any more');
  assert.equal(other.error?.code, 'unauthorised');
});

test('a client keeps its session over reconnects', async () => {
  const peal = client();
  peal.subscribe('a', () => {});
  await turn();
  assert.match(peal.session, /^[\w-]{22}$/);
  assert.notEqual(peal.session, client().session);
  FakeSocket.last.say({ connected: {} });
  void peal.publish('a', 'x', { exclude: peal.session }).catch(() => {});
  await turn();
  assert.equal(FakeSocket.last.sent.at(-1)!.exclude, peal.session);
  FakeSocket.last.close(1006);
  await pass(1_000);
  assert.equal(FakeSocket.last.url, 'ws://server/at/ws?session=' + peal.session);
  peal.close();
});

test('channels stand together only when all have caught up', async () => {
  const peal = client();
  const a = peal.subscribe('a', () => {});
  const b = peal.subscribe('b', () => {});
  await turn();
  const socket = FakeSocket.last;
  socket.say({ connected: {} });
  assert.deepEqual(socket.answer('subscribe', 'c1').channel, ['a', 'b']);
  socket.say({ channel: 'a', cursor: 'c2', time: 0, data: '' });
  assert.deepEqual([a.cursor, b.cursor], ['c2', 'c1']);
  socket.answer('ping'); // more is on its way
  socket.say({ channel: 'a', cursor: 'c3', time: 0, data: '' });
  assert.deepEqual([a.cursor, b.cursor], ['c3', 'c1']);
  await pass(1_000);
  socket.answer('ping', 'c4');
  assert.deepEqual([a.cursor, b.cursor], ['c4', 'c4']);
  socket.say({ channel: 'a', cursor: 'c5', time: 0, data: '' });
  assert.deepEqual([a.cursor, b.cursor], ['c5', 'c5']);
  const c = peal.subscribe('c', { cursor: 'c0' });
  socket.answer('subscribe', 'c0');
  socket.say({ channel: 'c', cursor: 'c0a', time: 0, data: '' });
  assert.deepEqual([a.cursor, c.cursor], ['c5', 'c0a'], 'one that catches up moves no other');
  peal.close();
});

test('messages of $me come under its full name', async () => {
  const peal = client({ token: 't' });
  const told: string[] = [];
  peal.subscribe('$me', { onMessage: (m) => told.push(m.channel + ' ' + m.cursor), onGap: (g) => told.push(`gap ${g.channel} ${g.to}`) });
  await turn();
  const socket = FakeSocket.last;
  socket.say({ connected: {} });
  assert.deepEqual(socket.answer('subscribe', 'c0').channel, ['$me']);
  socket.say({ channel: '$user:42', cursor: 'c1', time: 0, data: '' });
  socket.say({ gap: [{ channel: '$user:42', to: 'c2', reason: 'discarded' }] });
  assert.deepEqual(told, ['$me c1', 'gap $me c2']);
  peal.close();

  const both = client({ token: 't' });
  both.subscribe('$me', () => told.push('wrong'));
  both.subscribe('$user:42', (m) => told.push(m.channel));
  await turn();
  FakeSocket.last.say({ connected: {} });
  FakeSocket.last.answer('subscribe', 'c0');
  FakeSocket.last.say({ channel: '$user:42', cursor: 'c1', time: 0, data: '' });
  FakeSocket.last.say({ channel: 'else', cursor: 'c3', time: 0, data: '' });
  assert.equal(told.at(-1), '$user:42');
  both.close();
});

test('a gap before the answer is where the channel stands', async () => {
  const peal = client();
  const told: string[] = [];
  const a = peal.subscribe('a', { cursor: 'old', onGap: (g) => told.push(g.to) });
  await turn();
  const socket = FakeSocket.last;
  socket.say({ connected: {} });
  socket.say({ gap: [{ channel: 'a', to: 'c8', reason: 'unknown_cursor' }] });
  socket.answer('subscribe', 'c0');
  assert.equal(a.cursor, 'c8');
  assert.deepEqual(told, ['c8']);
  peal.close();
});

test('what was left and is wanted again begins anew, in order', async () => {
  const peal = client();
  const got: string[] = [];
  const first = peal.subscribe('a', (m) => got.push('first ' + m.cursor));
  await turn();
  const socket = FakeSocket.last;
  socket.say({ connected: {} });
  socket.answer('subscribe', 'c1');
  first.unsubscribe();
  peal.subscribe('a', (m) => got.push('second ' + m.cursor));
  socket.say({ channel: 'a', cursor: 'c2', time: 0, data: '' }); // on its way still
  assert.ok(!socket.sent.some((s) => s.command === 'subscribe'), 'not before it is left');
  socket.answer('unsubscribe');
  socket.answer('subscribe', 'c3');
  socket.say({ channel: 'a', cursor: 'c4', time: 0, data: '' });
  assert.deepEqual(got, ['second c4']);
  peal.close();
});

test('publications are sent again until they are answered, then no more', async () => {
  const peal = client({ publishQueue: 2, publishTimeout: 10_000 });
  const answers: string[] = [];
  const publish = (data: string) =>
    peal.publish('a', data).then(
      ({ cursor }) => answers.push(cursor),
      (e: { code: string }) => answers.push(data + ' ' + e.code),
    );
  publish('one');
  publish('two');
  publish('three');
  await turn();
  assert.deepEqual(answers, ['three queue_full']);
  FakeSocket.last.say({ connected: {} });
  const first = FakeSocket.last.sent.map((s) => s.idempotency_key);
  FakeSocket.last.answer('publish', 'c1');
  FakeSocket.last.close(1006);
  await pass(1_000);
  FakeSocket.last.say({ connected: {} });
  const [again, ...more] = FakeSocket.last.sent.filter((s) => s.command === 'publish');
  assert.deepEqual([again!.data, again!.idempotency_key, more.length], ['two', first[1], 0]);
  FakeSocket.last.say({ id: again!.id, error: { code: 'log_full', message: 'later' } });
  await pass(1_000);
  const third = FakeSocket.last.sent.filter((s) => s.command === 'publish').at(-1)!;
  assert.notEqual(third.id, again!.id, 'sent once more');
  await pass(8_000);
  assert.deepEqual(answers, ['three queue_full', 'c1', 'two timeout']);
  peal.close();
});

test('a message of several channels is delivered on each that is subscribed, once', async () => {
  const peal = client();
  const got: string[] = [];
  const subscribe = (name: string) => peal.subscribe(name, (m) => got.push(`${name}: ${m.channel} ${String(m.data)} ${m.cursor}`));
  for (const name of ['b', 'c', 'd']) subscribe(name);
  await turn();
  const socket = FakeSocket.last;
  socket.say({ connected: {} });
  socket.answer('subscribe', 'c1');
  socket.answer('ping', 'c1');
  socket.say({ channel: 'a', also: ['b', 'x', 'c'], cursor: 'c2', time: 1, data: 'one' });
  socket.say({ channel: 'b', also: ['a'], cursor: 'c3', time: 1, data: 'two' });
  socket.say({ channel: 'a', cursor: 'c4', time: 1, data: 'of none' });
  assert.deepEqual(got, ['b: b one c2', 'c: c one c2', 'b: b two c3']);
  socket.close();
  await pass(1_000);
  FakeSocket.last.say({ connected: {} });
  assert.equal(FakeSocket.last.answer('subscribe', 'c3').cursor, 'c3', 'all channels have it');
  peal.close();
});

test('a message of a channel that is not named is for the only one that is subscribed', async () => {
  const peal = client();
  const got: string[] = [];
  peal.subscribe('b', (m) => got.push('b ' + String(m.data)));
  await turn();
  const socket = FakeSocket.last;
  socket.say({ connected: {} });
  socket.answer('subscribe', 'c1');
  socket.answer('ping', 'c1');
  socket.say({ channel: 'a', also: ['x'], cursor: 'c2', time: 1, data: 'one' });
  const other = peal.subscribe('c', (m) => got.push('c ' + String(m.data)));
  await turn();
  socket.say({ channel: 'a', cursor: 'c3', time: 1, data: 'while another is joining' });
  socket.answer('subscribe', 'c3');
  socket.say({ channel: 'a', cursor: 'c4', time: 1, data: 'of one of them' });
  other.unsubscribe();
  socket.say({ channel: 'a', cursor: 'c5', time: 1, data: 'while the other is left' });
  socket.answer('unsubscribe', 'c5');
  socket.say({ channel: 'a', cursor: 'c6', time: 1, data: 'two' });
  assert.deepEqual(got, ['b one', 'b two']);
  peal.close();
});
