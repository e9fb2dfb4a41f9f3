// Event streams and polls, with answers and a clock of ours.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Peal } from '../src/peal.js';
import type { Message, Options, StateDetail } from '../src/types.js';

const real = globalThis.fetch;
let asked: string[];
let bearers: Array<string | undefined>;
let answer: (path: string, signal: AbortSignal) => Response | Promise<Response>;
let details: StateDetail[];
let wake: () => void;

beforeEach(() => {
  asked = [];
  bearers = [];
  details = [];
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  Object.assign(globalThis, {
    fetch: async (url: string, init: RequestInit) => {
      asked.push(new URL(url).pathname);
      bearers.push((init.headers as Record<string, string>).Authorization);
      return answer(url, init.signal!);
    },
    addEventListener: (event: string, f: () => void) => event === 'online' && (wake = f),
    removeEventListener: () => {},
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

function client(transports: Array<'sse' | 'poll'>, options: Options = {}, onMessage = (_: Message) => {}): Peal {
  const peal = new Peal('http://server', { transports, onState: (_, detail) => details.push(detail), ...options });
  peal.subscribe('a', onMessage);
  return peal;
}

test('a stream that says when to come back is obeyed, also when the network is back', async () => {
  answer = () => new Response('retry: 7000\n\n');
  const peal = client(['sse', 'poll']);
  await turn();
  await pass(1);
  assert.equal(peal.state, 'waiting', 'no other transport would do better');
  assert.equal(details.at(-1)!.retryIn, 7_000);
  await pass(6_000);
  wake();
  await turn();
  assert.deepEqual(asked, ['/sse']);
  await pass(1_000);
  await pass(1);
  assert.deepEqual(asked, ['/sse', '/sse']);
  peal.close();
});

test('Retry-After is obeyed, and what is longer wins', async () => {
  answer = () => new Response('busy', { status: 503, headers: { 'Retry-After': '9' } });
  const peal = client(['poll']);
  await turn();
  await pass(1);
  assert.equal(details.at(-1)!.retryIn, 9_000);
  peal.close();
});

test('without such a word the network that is back is tried at once', async () => {
  answer = () => Promise.reject(new TypeError('network'));
  const peal = client(['sse', 'poll']);
  await turn();
  await pass(1);
  await pass(1);
  assert.equal(peal.state, 'waiting');
  const before = asked.length;
  wake();
  await turn();
  await pass(1);
  assert.equal(asked.length, before + 1);
  peal.close();
});

test('a stream that goes silent is begun anew where it was', async () => {
  let say: (text: string) => void = () => {};
  let url = '';
  answer = (path, signal) => {
    url = path;
    const body = new ReadableStream({
      start(c) {
        say = (text) => c.enqueue(new TextEncoder().encode(text));
        signal.addEventListener('abort', () => c.error(new Error('aborted')));
      },
    });
    return new Response(body);
  };
  const peal = client(['sse']);
  await turn();
  await pass(1);
  say('retry: 3000\nid: c1\n\n');
  await turn();
  assert.equal(peal.state, 'live');
  await pass(29_000);
  say('id: c2\n\n');
  await turn();
  await pass(29_000);
  assert.equal(peal.state, 'live');
  await pass(1_000);
  assert.equal(peal.state, 'waiting');
  await pass(3_000);
  await pass(1);
  assert.match(url, /cursor=c2$/);
  peal.close();
});

test('what a proxy buffers is given up after 2.5 s', async () => {
  answer = (path, signal) => {
    if (!path.includes('/sse')) return Response.json({ cursor: 'c1', messages: [], more: false });
    return new Promise((_, fail) => signal.addEventListener('abort', () => fail(new Error('aborted'))));
  };
  const peal = client(['sse', 'poll']);
  await turn();
  await pass(1);
  await pass(2_499);
  assert.equal(asked.at(-1), '/sse');
  await pass(1);
  await pass(1);
  assert.deepEqual(asked.slice(1), ['/channels/a/history', '/poll']);
  await pass(499);
  assert.equal(asked.length, 3, 'polls that are answered at once with nothing are no circle');
  await pass(1);
  assert.equal(asked.length, 4);
  peal.close();
});

const denied = () => new Response('{"error":{"code":"token_expired","message":"get a new one"}}', { status: 401 });

test('a warning in a stream begins it again with the new token, without a gap or a repeat', async () => {
  const streams: Array<(text: string) => void> = [];
  const urls: string[] = [];
  answer = (path, signal) => {
    urls.push(path);
    const body = new ReadableStream({
      start(c) {
        streams.push((text) => c.enqueue(new TextEncoder().encode(text)));
        signal.addEventListener('abort', () => c.error(new Error('aborted')));
      },
    });
    return new Response(body);
  };
  let calls = 0;
  const got: string[] = [];
  const peal = client(['sse'], { getToken: async () => 'token' + ++calls }, (m) => got.push(m.cursor));
  const message = (cursor: string) => `id: ${cursor}\ndata: {"channel":"a","cursor":"${cursor}","time":0,"data":""}\n\n`;
  await turn();
  await pass(1);
  streams[0]!('retry: 3000\nid: c1\nevent: peal.cursor\ndata: {"cursor":"c1"}\n\n' + message('c2'));
  await turn();
  streams[0]!('event: peal.token_expires\ndata: {"in":20}\n\n' + message('c3'));
  await turn();
  await pass(1);
  assert.deepEqual(bearers, ['Bearer token1', 'Bearer token2']);
  assert.match(urls[1]!, /cursor=c3/);
  for (const url of urls) assert.ok(url.includes('session=' + peal.session));
  streams[1]!('retry: 3000\nid: c3\n\n' + message('c4'));
  await turn();
  assert.deepEqual(got, ['c2', 'c3', 'c4']);
  assert.equal(peal.state, 'live');
  assert.ok(!details.some((d) => d.error));
  peal.close();
});

test('a request that is refused for its token is sent once more, with another', async () => {
  let calls = 0;
  let good = '';
  const urls: string[] = [];
  answer = (path) => {
    urls.push(path);
    if (bearers.at(-1) !== good) return denied();
    return Response.json(path.includes('history') ? { cursor: 'c1', messages: [], more: false } : { cursor: 'c2', messages: [] });
  };
  const peal = client(['poll'], { getToken: async () => 'token' + ++calls });
  good = 'Bearer token2';
  await turn();
  await pass(1);
  assert.deepEqual(asked, ['/channels/a/history', '/channels/a/history', '/poll']);
  assert.equal(peal.state, 'live');
  good = 'Bearer token3';
  await pass(500);
  assert.equal(peal.state, 'live');
  assert.deepEqual(bearers.slice(3, 5), ['Bearer token2', 'Bearer token3']);
  good = 'none';
  await pass(500);
  await turn();
  assert.equal(peal.state, 'stopped');
  assert.deepEqual([peal.error?.code, peal.error?.message], ['unauthorised', 'get a new one']);
  assert.deepEqual(bearers.slice(-2), ['Bearer token3', 'Bearer token4']);
  for (const url of urls) assert.ok(url.includes('session=' + peal.session), `${url}: history has messages that are not for this session, too`);
});

test('a token that is refused while channels are sifted is that of the client', async () => {
  answer = (path) => (path.includes('/poll') ? new Response('{"error":{"code":"disconnected","message":"no"}}', { status: 410 }) : asked.length > 2 ? denied() : Response.json({ cursor: 'c1', messages: [], more: false }));
  const peal = client(['poll'], { getToken: async () => (bearers.length ? null : 'one') });
  const states: string[] = [];
  peal.subscribe('b', { onState: (state, error) => states.push(state + ' ' + error?.code) });
  await turn();
  await pass(1);
  assert.equal(peal.state, 'stopped');
  assert.equal(peal.error?.code, 'unauthorised');
  assert.deepEqual(states, ['stopped unauthorised']);
  peal.close();
});

test('a refusal without a token, or of a user that has none, stops the client and not only its channels', async () => {
  answer = denied;
  for (const options of [{}, { token: 'one' }, { getToken: async () => (bearers.length ? null : 'one') }]) {
    for (const transport of ['sse', 'poll'] as const) {
      asked = [];
      bearers = [];
      const peal = client([transport], options);
      await turn();
      await pass(1);
      assert.equal(peal.state, 'stopped', transport + JSON.stringify(options));
      assert.equal(peal.error?.code, 'unauthorised');
      assert.equal(asked.length, 1);
    }
  }
});

for (const transport of ['sse', 'poll'] as const) {
  const several = (names: string[], want: string[]) => async () => {
    const message = { channel: 'x', also: ['a', 'b'], cursor: 'c2', time: 1, data: 'one' };
    answer = (path) => {
      if (path.includes('history')) return Response.json({ cursor: 'c1', messages: [], more: false });
      if (transport === 'sse') return new Response(`id: c1\nevent: peal.cursor\ndata: {"cursor":"c1"}\n\nid: c2\ndata: ${JSON.stringify(message)}\n\n`);
      return Response.json({ cursor: 'c2', messages: path.includes('cursor=c2') ? [] : [message] });
    };
    const got: string[] = [];
    const peal = new Peal('http://server', { transports: [transport] });
    for (const name of names) peal.subscribe(name, (m) => got.push(m.channel + ' ' + String(m.data)));
    for (let n = 0; n < 100 && !got.length; n++) await pass(1);
    assert.deepEqual(got, want);
    peal.close();
  };
  test(transport + ' delivers a message of several channels on each that is subscribed', several(['a', 'b', 'y'], ['a one', 'b one']));
  test(transport + ' delivers a message of a channel that is not named on the only one', several(['y'], ['y one']));
}
