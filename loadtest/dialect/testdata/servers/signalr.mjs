// A hub that speaks SignalR's JSON protocol with Microsoft's own code for its messages:
// ASP.NET Core, whose hub it stands for, comes from neither npm, Go nor Debian.
import { createServer } from 'node:http';
import { JsonHubProtocol, MessageType, NullLogger } from '@microsoft/signalr';
import { WebSocketServer } from 'ws';

const protocol = new JsonHubProtocol();
const http = createServer();
const groups = new Map(); // channel: Set of sockets

new WebSocketServer({ server: http, path: '/hub' }).on('connection', (socket) => {
	let shaken = false;
	const send = (message) => socket.send(protocol.writeMessage(message));
	const pings = setInterval(() => send({ type: MessageType.Ping }), 300);
	socket.on('close', () => {
		clearInterval(pings);
		for (const group of groups.values()) group.delete(socket);
	});
	socket.on('message', (data) => {
		let text = data.toString();
		if (!shaken) {
			const end = text.indexOf('\x1e') + 1;
			if (JSON.parse(text.slice(0, end - 1)).protocol !== 'json') return socket.close();
			shaken = true;
			socket.send('{}\x1e');
			text = text.slice(end);
		}
		if (text === '') return;
		for (const message of protocol.parseMessages(text, NullLogger.instance)) {
			if (message.type !== MessageType.Invocation) continue;
			const [channel, payload] = message.arguments;
			if (!groups.has(channel)) groups.set(channel, new Set());
			if (message.target === 'Join') groups.get(channel).add(socket);
			if (message.target === 'Publish') {
				const written = protocol.writeMessage({ type: MessageType.Invocation, target: 'message', arguments: [payload] });
				for (const member of groups.get(channel)) member.send(written);
			}
			if (message.invocationId) send({ type: MessageType.Completion, invocationId: message.invocationId, result: null });
		}
	});
});
http.listen(Number(process.argv[2]), '127.0.0.1');
