// GraphQL subscriptions over graphql-ws. The first value of each says that it is active:
// the protocol itself has no answer to a subscribe.
import { createServer } from 'node:http';
import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

const schema = buildSchema(`
	type Query { ok: Boolean }
	type Mutation { publish(channel: String!, message: String!): Boolean }
	type Subscription { messages(channel: String!): String }
`);
const listeners = new Map(); // channel: Set of functions

async function* messages({ channel }) {
	const queue = ['subscribed'];
	let wake = () => {};
	const listener = (message) => { queue.push(message); wake(); };
	if (!listeners.has(channel)) listeners.set(channel, new Set());
	listeners.get(channel).add(listener);
	try {
		for (;;) {
			while (queue.length > 0) yield { messages: queue.shift() };
			await new Promise((resolve) => { wake = resolve; });
		}
	} finally {
		listeners.get(channel).delete(listener);
	}
}

const roots = {
	subscription: { messages },
	mutation: {
		publish({ channel, message }) {
			for (const listener of listeners.get(channel) ?? []) listener(message);
			return true;
		},
	},
};
const http = createServer();
useServer({ schema, roots }, new WebSocketServer({ server: http, path: '/graphql' }));
http.listen(Number(process.argv[2]), '127.0.0.1');
