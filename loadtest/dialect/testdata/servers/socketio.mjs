// A Socket.IO server: clients join rooms, and publish to them.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { pingInterval: 300 });
io.on('connection', (socket) => {
	socket.on('join', (channel, joined) => { socket.join(channel); joined('ok'); });
	socket.on('publish', (channel, message) => io.to(channel).emit('message', message));
});
http.listen(Number(process.argv[2]), '127.0.0.1');
