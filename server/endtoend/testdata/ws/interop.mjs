// Drives the server with the npm client ws through the cases on stdin, a JSON array, and
// prints for each what was negotiated and whether every message came back as it was sent.
import { readFileSync } from 'node:fs'
import { WebSocket } from 'ws'

const url = process.argv[2]
const cases = JSON.parse(readFileSync(0, 'utf8'))

// body is n characters or bytes: like JSON, or noise.
function body(n, noise, binary) {
	let text = ''
	if (!noise) {
		for (let i = 0; text.length < n; i++) text += `{"id":${i * 7919},"channel":"news.${i % 50}","text":"größer 🔔"},`
		text = text.slice(0, n).replace(/[\ud800-\udbff]$/, 'x')
		return binary ? Buffer.from(text) : text
	}
	const b = Buffer.alloc(n)
	let x = 12345
	for (let i = 0; i < n; i++) { x = (x * 1103515245 + 12345) & 0x7fffffff; b[i] = binary ? x >> 16 : 33 + ((x >> 16) % 90) }
	return binary ? b : b.toString('latin1')
}

async function send(ws, data, fragment) {
	if (!fragment) { ws.send(data); return }
	const b = Buffer.from(data)
	const binary = typeof data !== 'string'
	for (let at = 0; ; at += fragment) {
		const fin = at + fragment >= b.length
		ws.send(b.subarray(at, at + fragment), { binary, fin, compress: true })
		if (fin) return
		ws.ping('between')
	}
}

async function run(c) {
	const ws = new WebSocket(url + encodeURIComponent(c.name), { perMessageDeflate: c.options })
	const queue = [], waiting = []
	let pongs = 0
	const result = { name: c.name, wrong: [] }
	ws.on('upgrade', r => { result.extensions = r.headers['sec-websocket-extensions'] ?? '' })
	ws.on('pong', () => pongs++)
	ws.on('message', (data, binary) => { const w = waiting.shift(); const m = { data, binary }; w ? w(m) : queue.push(m) })
	ws.on('error', e => result.wrong.push(String(e)))
	ws.on('close', (code, reason) => { for (const w of waiting.splice(0)) w({ data: `closed ${code} ${reason}` }) })
	await new Promise(r => { ws.on('open', r); ws.on('close', r) })
	const next = () => queue.length ? Promise.resolve(queue.shift()) : ws.readyState > 1 ? Promise.resolve({ data: 'closed' }) : new Promise(r => waiting.push(r))
	for (const size of c.sizes) for (const binary of [false, true]) for (const noise of [false, true]) {
		const data = body(size, noise, binary)
		await send(ws, data, c.fragment)
		const m = await next()
		if (m.binary !== binary || !Buffer.from(data).equals(Buffer.from(m.data))) result.wrong.push(`${size} ${binary} ${noise}: ${String(m.data).slice(0, 60)}`)
	}
	// Many at once, and none of them waits for the one before.
	for (let i = 0; i < 200; i++) ws.send(body(300, false, false) + i)
	for (let i = 0; i < 200; i++) {
		const m = await next()
		if (String(m.data) !== body(300, false, false) + i) { result.wrong.push(`burst ${i}: ${String(m.data).slice(0, 60)}`); break }
	}
	result.pongs = pongs
	ws.close(1000)
	await new Promise(r => ws.readyState === 3 ? r() : ws.on('close', r))
	return result
}

const results = []
for (const c of cases) results.push(await run(c))
console.log(JSON.stringify(results))
