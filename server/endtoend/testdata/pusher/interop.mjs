// Tries a server with unchanged pusher-js and laravel-echo. Arguments: host, port, key, secret.
// It prints a line of JSON for each thing that it has seen.
import {createHmac} from 'node:crypto';
import Pusher from 'pusher-js';
import EchoModule from 'laravel-echo';

const Echo = EchoModule.default ?? EchoModule;
const [host, port, key, secret] = process.argv.slice(2);
const sign = text => `${key}:${createHmac('sha256', secret).update(text).digest('hex')}`;
const say = (...all) => console.log(JSON.stringify(all));
setTimeout(() => { say('time is over'); process.exit(1); }, 30_000).unref();

// What the backend of a user signs.
const backend = user => ({
  channelAuthorization: {customHandler: ({channelName, socketId}, done) => {
    if (!channelName.startsWith('presence-')) return done(null, {auth: sign(`${socketId}:${channelName}`)});
    const data = JSON.stringify({user_id: user, user_info: {name: `user ${user}`}});
    done(null, {auth: sign(`${socketId}:${channelName}:${data}`), channel_data: data});
  }},
  userAuthentication: {customHandler: ({socketId}, done) => {
    const data = JSON.stringify({id: user});
    done(null, {auth: sign(`${socketId}::user::${data}`), user_data: data});
  }},
});
const options = {cluster: '', wsHost: host, wsPort: +port, wssPort: +port, forceTLS: false, enabledTransports: ['ws'], enableStats: false};
const connect = (user, other = {}) => new Pusher(key, {...options, ...backend(user), ...other});
const next = (on, event) => new Promise(done => { const f = data => { on.unbind(event, f); done(data); }; on.bind(event, f); });
const subscribe = async (client, name) => { const channel = client.subscribe(name); const got = await next(channel, 'pusher:subscription_succeeded'); return [channel, got]; };

// trigger publishes with the HTTP API, as a backend does.
async function trigger(channel, name, data, socketID) {
  const body = JSON.stringify({name, channel, data: JSON.stringify(data), socket_id: socketID});
  const query = `auth_key=${key}&auth_timestamp=${Math.floor(Date.now() / 1000)}&auth_version=1.0&body_md5=${(await import('node:crypto')).createHash('md5').update(body).digest('hex')}`;
  const signature = createHmac('sha256', secret).update(`POST\n/apps/7/events\n${query}`).digest('hex');
  const response = await fetch(`http://${host}:${port}/apps/7/events?${query}&auth_signature=${signature}`, {method: 'POST', body, headers: {'Content-Type': 'application/json'}});
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
}

const ann = connect('1'), bob = connect('2');
await Promise.all([next(ann.connection, 'connected'), next(bob.connection, 'connected')]);
say('socket id', /^\d+\.\d+$/.test(ann.connection.socket_id), ann.connection.socket_id !== bob.connection.socket_id);

const [orders] = await subscribe(ann, 'orders');
let got = next(orders, 'shipped');
await trigger('orders', 'shipped', {id: 5, text: 'ä\u2028"'});
say('public', await got);

const [secretAnn] = await subscribe(ann, 'private-a'), [secretBob] = await subscribe(bob, 'private-a');
let own = 0;
secretAnn.bind('client-typing', () => own++);
got = next(secretBob, 'client-typing');
secretAnn.trigger('client-typing', {who: 1});
say('client event', await got);
got = next(secretAnn, 'last');
await trigger('private-a', 'client-typing', {who: 'the backend, but not ann'}, ann.connection.socket_id);
await trigger('private-a', 'last', {});
await got;
say('own client events', own);

// eye is on each room first: what it has seen of a join is in the lists of those that come later.
// Its own join may be seen by those that come right after it: they leave it out.
const others = ids => ids.filter(id => id !== '0' && id !== 'user 0').sort();
const eye = connect('0');
const sees = (channel, id) => new Promise(done => channel.bind('pusher:member_added', m => m.id === id && done()));
const [roomEye] = await subscribe(eye, 'presence-room');
let seenJoin = sees(roomEye, '1');
const [roomAnn, members] = await subscribe(ann, 'presence-room');
await seenJoin;
say('here', members.me, others(Object.keys(members.members)));
const changes = [];
roomAnn.bind('pusher:member_added', m => m.id !== '0' && changes.push(['added', m.id, m.info.name]));
roomAnn.bind('pusher:member_removed', m => changes.push(['removed', m.id]));
let joined = sees(roomAnn, '2');
const [roomBob, both] = await subscribe(bob, 'presence-room');
const ofBob = [];
roomBob.bind('pusher:member_added', m => ofBob.push(m.id));
await joined;
say('both', both.count, Object.keys(both.members).sort());
const from = new Promise(done => roomBob.bind('client-hello', (data, meta) => done([data, meta.user_id])));
roomAnn.trigger('client-hello', 'text');
say('client event of a member', await from);
const removed = next(roomAnn, 'pusher:member_removed');
bob.unsubscribe('presence-room');
await removed;
say('changes', changes, roomAnn.members.count, ofBob);

ann.signin();
await ann.user.signinDonePromise;
say('user', ann.user.user_data);
await new Promise(done => { const look = () => ann.user.serverToUserChannel?.subscribed ? done() : setTimeout(look, 5); look(); });
got = next(ann.user, 'news');
await trigger('#server-to-user-1', 'news', {for: 'ann'});
say('to the user', await got);

const cache = ann.subscribe('cache-rate');
await next(cache, 'pusher:cache_miss');
await trigger('cache-rate', 'rate', 1);
await trigger('cache-rate', 'rate', 2);
say('cached', await next(bob.subscribe('cache-rate'), 'rate'));

const stranger = connect('3', {channelAuthorization: {customHandler: (_, done) => done(null, {auth: `${key}:00`})}});
const refused = await next(stranger.subscribe('private-a'), 'pusher:subscription_error');
say('refused', refused.type, refused.status, stranger.connection.state);
const nobody = new Pusher('unknown', options);
const [fault] = await Promise.all([next(nobody.connection, 'error'), next(nobody.connection, 'disconnected')]);
say('no app', fault.error.data.code);
for (const client of [ann, bob, stranger, nobody]) client.disconnect();

// Laravel Echo, with both connectors.
for (const broadcaster of ['reverb', 'pusher']) {
  const make = user => new Echo({broadcaster, key, Pusher, ...options, ...backend(user)});
  const one = make('1'), two = make('2');
  const seen = (on, f) => new Promise(done => f(on, done));
  got = seen(one.channel('orders'), (c, done) => c.listen('.shipped', done).subscribed(async () => trigger('orders', 'shipped', {id: 6})));
  say(broadcaster, 'listen', await got);
  got = seen(one.private('a'), (c, done) => c.listenForWhisper('typing', done).subscribed(() => two.private('a').subscribed(() => two.private('a').whisper('typing', {who: 2}))));
  say(broadcaster, 'whisper', await got);
  const log = [];
  const [room] = await subscribe(eye, `presence-${broadcaster}`);
  seenJoin = sees(room, '1');
  const left = seen(null, (_, done) => one.join(broadcaster).here(async all => { log.push(['here', others(all.map(m => m.name))]); await seenJoin; two.join(broadcaster).here(h => { log.push(['here two', others(h.map(m => m.name))]); }).joining(m => log.push(['two sees', m.name])); })
    .joining(m => { if (m.name !== 'user 2') return; log.push(['joining', m.name]); setTimeout(() => two.leave(broadcaster), 50); }).leaving(m => { log.push(['leaving', m.name]); done(); }));
  await left;
  say(broadcaster, 'presence', log.map(e => JSON.stringify(e)).sort());
  const error = await seen(null, (_, done) => { const c = new Echo({broadcaster, key, Pusher, ...options, ...backend('9'), channelAuthorization: {customHandler: (_, f) => f(null, {auth: 'x'})}}); c.private('a').error(e => { done(e.status); c.disconnect(); }); });
  say(broadcaster, 'error', error);
  say(broadcaster, 'socket id', /^\d+\.\d+$/.test(one.socketId()));
  one.disconnect();
  two.disconnect();
}
eye.disconnect();
say('done');
process.exit(0);
