// Uses the HTTP API by the npm package pusher, unchanged, and prints what becomes of each
// call, a line of JSON for each: its status with the body, or the error.
// Usage: node rest.mjs HOST PORT ID KEY SECRET
import { createRequire } from 'node:module';
const Pusher = createRequire(import.meta.url)('pusher');

const [host, port, appId, key, secret] = process.argv.slice(2);
const pusher = new Pusher({ appId, key, secret, host, port, useTLS: false });
const stranger = new Pusher({ appId, key, secret: secret + 'x', host, port, useTLS: false });

async function call(what, promise) {
  try {
    const response = await promise;
    console.log(JSON.stringify([what, response.status, await response.json()]));
  } catch (e) {
    console.log(JSON.stringify([what, e.status ?? 0, e.body ? JSON.parse(e.body).error.code : String(e)]));
  }
}

await call('trigger', pusher.trigger('orders', 'paid', { order: 17, note: 'ü "x"' }));
await call('trigger text', pusher.trigger(['orders', 'private-42'], 'paid', 'text'));
await call('trigger info', pusher.trigger('orders', 'paid', {}, { info: 'subscription_count' }));
await call('trigger socket_id', pusher.trigger('orders', 'paid', 'not for one', { socket_id: '1.2' }));
await call('batch', pusher.triggerBatch([
  { channel: 'orders', name: 'first', data: { n: 1 } },
  { channel: 'presence-room', name: 'second', data: 'two' },
]));
await call('to user', pusher.sendToUser('42', 'hello', { a: 1 }));
await call('channels', pusher.get({ path: '/channels', params: { info: 'subscription_count' } }));
await call('presence channels', pusher.get({ path: '/channels', params: { filter_by_prefix: 'presence-', info: 'user_count' } }));
await call('channel', pusher.get({ path: '/channels/orders', params: { info: 'subscription_count' } }));
await call('users', pusher.get({ path: '/channels/presence-room/users' }));
await call('no users', pusher.get({ path: '/channels/orders/users' }));
await call('terminate', pusher.terminateUserConnections('42'));
await call('wrong secret', stranger.trigger('orders', 'paid', {}));
await call('wrong secret of a query', stranger.get({ path: '/channels' }));
