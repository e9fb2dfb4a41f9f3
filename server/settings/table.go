package settings

import (
	"math"
	"strings"
	"time"

	"peal/server"
	"peal/server/httpapi"
)

// Upper ends of ranges: values beyond them are surely mistakes.
const (
	many    = math.MaxInt32
	maxSize = 1 << 40
	maxTime = int64(24 * time.Hour)
	maxPoll = 1<<16 - 1 // messages of one response are counted in 16 bits
	second  = int64(time.Second)
)

// Groups is the table.
func Groups() []Group {
	return []Group{
		{"Addresses", "The addresses of the server, and access to them. An inherited listener that others can reach also needs `open`; `admin-open` applies to the admin listener only. The server creates a Unix socket with the mode and group below, whatever the umask; to let only your proxy connect, set `socket-mode: \"0660\"` and `socket-group: www-data`, or restrict the directory. The server replaces the socket file of a killed server, and no other file.", []Setting{
			{Name: "listen", Help: "address to listen on: host:port, unix:/path, or a port alone, which is that port of 127.0.0.1 and [::1]; repeatable",
				Default: strings.Join(server.DefaultListen(), ", and where the machine has IPv6 "),
				field:   func(c *server.Config) any { return &c.Listen }},
			{Name: "inherit", Help: "number of a listening descriptor inherited from the parent process, served beside --listen; repeatable", Default: "none",
				field: func(c *server.Config) any { return &c.Inherit }},
			{Name: "open", Help: "allow addresses that other machines can reach; any client there can publish and subscribe",
				field: func(c *server.Config) any { return &c.Open }},
			{Name: "admin", Help: "address for health, metrics and profiles, as in 127.0.0.1:8081, 8081 or unix:/path; never public", Default: "none",
				field: func(c *server.Config) any { return &c.Admin }},
			{Name: "admin-open", Help: "allow --admin addresses that other machines can reach; any client there can read metrics and profiles",
				field: func(c *server.Config) any { return &c.AdminOpen }},
			{Name: "socket-mode", Help: "mode of Unix sockets (unix:/path), of --listen and of --admin, in octal; the default lets every user of the machine connect, as 127.0.0.1 does",
				field: func(c *server.Config) any { return &c.SocketMode }},
			{Name: "socket-group", Help: "group of these sockets, a name or a number, as in www-data with --socket-mode 0660", Default: "that of the process",
				field: func(c *server.Config) any { return &c.SocketGroup }},
			{Name: "admin-host", Help: "host name without a port that --admin accepts beside IP addresses and localhost, such as the name that a scraper uses for this machine; repeatable", Default: "none",
				field: func(c *server.Config) any { return &c.AdminHosts }},
			{Name: "allow-origin", Live: true, Help: "origin of web pages, as in https://app.example, or all below a name, as in https://*.example.org, that may use the server beside pages of this machine, with the cookies of their users; null is for sandboxed frames and local files, without cookies; --open also allows all other origins, without cookies; repeatable, at most 1000", Default: "none",
				field: func(c *server.Config) any { return &c.Origins }},
		}},
		{"Access", "What clients must prove to be allowed an action. The file has the [keys](#keys) of backends, too.", []Setting{
			{Name: "key-file", Live: true, Help: "YAML file with further keys of backends, in the form of keys, so that they can be kept outside the configuration; repeatable", Default: "none",
				field: func(c *server.Config) any { return &c.KeyFiles }},
		}},
		{"The process", "", []Setting{
			{Name: "loops", Help: "event loops; the server caps them at the number of processors and logs a warning", Min: 1, Default: "one for each core",
				field: func(c *server.Config) any { return &c.Loop.Loops }},
			{Name: "drain", Live: true, Help: "how long a shutdown waits for clients; raising it delays the end of the process", Min: 1e6, Max: maxTime,
				field: func(c *server.Config) any { return &c.Drain }},
			{Name: "log-format", Help: "format of the server's own log on standard error: text, json, or auto (text on a terminal, json otherwise)",
				field: func(c *server.Config) any { return &c.LogFormat }},
			{Name: "access-log", Help: "destination of the access log, one line of JSON per request: off, stderr, or the path of a file, to which the server appends; it costs processor time per request and disk space",
				field: func(c *server.Config) any { return &c.AccessLog }},
			{Name: "log-level", Live: true, Help: "lowest level that the server logs: debug, info, warn or error",
				field: func(c *server.Config) any { return &c.LogLevel }},
			{Name: "workers", Help: "goroutines for requests that take too long for a loop (listings, batches, history); raising it takes processor time from the loops", Min: 1, Max: 1 << 10,
				field: func(c *server.Config) any { return &c.Workers }},
			{Name: "address-share", Help: "largest share, in percent, of each table that clients fill (idempotency keys, clients kept away, members of channels) for one IPv4 address or IPv6 /64; use 100 if all clients connect through one proxy; raising it lets one address leave less room for the others", Min: 1, Max: 100,
				field: func(c *server.Config) any { return &c.AddressShare }},
			{Name: "worker-queue", Help: "requests that wait for a worker; addresses, and the connections of each address, get equal shares of time; beyond it 503 for the address with the most waiting requests; raising it costs memory and a longer wait", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.WorkerQueue }},
		}},
		{"Connections", "Timeouts count in whole seconds, rounded up.", []Setting{
			{Name: "max-connections", Live: true, Help: "connections at a time on all loops, beyond it 503; raising it costs memory for each and needs descriptors (ulimit -n)", Min: 1, Max: many, Default: "what the descriptor limit leaves, less a margin",
				field: func(c *server.Config) any { return &c.Loop.MaxConnections }},
			{Name: "message-bytes", Help: "size of one message, published over HTTP or WebSocket, beyond it 413 or close 1009; raising it costs memory and lets one message delay others", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.MessageBytes }},
			{Name: "head-timeout", Help: "time from its first byte in which a request head must be complete; a body or a WebSocket message has one more second for each KiB received; beyond it 408 or close 1013; raising it lets slow clients hold connections", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.HeadTimeout }},
			{Name: "idle-timeout", Help: "how long a connection may be idle between requests, and before its first; raising it keeps more connections open", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.IdleTimeout }},
			{Name: "heartbeat", Help: "time between heartbeats to a silent stream, ± 20 %; raising it detects dead clients later and risks that proxies close silent streams", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.Heartbeat }},
			{Name: "linger-timeout", Help: "how long the server waits for a refused or closing client to close its side; raising it keeps such connections longer", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.LingerTimeout }},
			{Name: "input-bytes", Help: "unread and unfinished input of all connections of a loop; beyond it the server closes the connections with the most input, counted together by address; raising it costs that memory for each loop", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Loop.InputBytes }},
			{Name: "parked-bytes", Help: "unread input of a connection that waits for a response, beyond it the server stops reading from it; raising it costs memory for each such connection", size: true, Min: 1, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.ParkedBytes }},
			{Name: "turn-sends", Help: "sends in one turn of a loop before it reads events again; raising it saves wake-ups and makes requests wait longer", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.Loop.TurnSends }},
			{Name: "turn-work", Help: "work on client input in one turn of a loop before it reads events again, in units of about a microsecond; one connection gets a quarter of it at a time; raising it lets a client that sends much delay the others longer", Min: 100, Max: 1 << 20,
				field: func(c *server.Config) any { return &c.Loop.TurnWork }},
		}},
		{"Requests", "Limits of one request. The server clamps the timeout of a poll to the range from poll-timeout-min to poll-timeout-max.", []Setting{
			{Name: "max-channels", Help: "channels of one connection or publication, beyond it 400 or close 4413; raising it costs memory for each such connection, and more for each message on several of its channels", Min: 1, Max: 1 << 12,
				field: func(c *server.Config) any { return &c.HTTP.ChannelLimit }},
			{Name: "max-subscribed-channels", Help: "channels with subscribers on a loop; beyond it the server closes the connections with the most channels, counted together by address; raising it costs about 1 KiB for each", Min: 1 << 10, Max: many,
				field: func(c *server.Config) any { return &c.Loop.Channels }},
			{Name: "head-bytes", Help: "size of one request head, beyond it 414 or 431; raising it allows longer URLs and lets each connection hold as much memory", size: true, Min: 1 << 10, Max: 64 << 10,
				field: func(c *server.Config) any { return &c.HTTP.HeadLimit }},
			{Name: "batch-bytes", Live: true, Help: "size of the body of a batch, beyond it 413; raising it costs memory for each batch in progress", size: true, Min: 1 << 10, Max: 16 << 20,
				field: func(c *server.Config) any { return &c.HTTP.BatchLimit }},
			{Name: "batch-messages", Live: true, Help: "messages of a batch, beyond it 400; raising it makes other requests to the workers wait longer", Min: 1, Max: 1 << 20,
				field: func(c *server.Config) any { return &c.HTTP.BatchMessages }},
			{Name: "batch-entries", Help: "entries of a batch, one for each channel of each message; the messages beyond it get 413; raising it lets one request cost the memory of that many entries", Min: 1, Max: 1 << 20,
				field: func(c *server.Config) any { return &c.HTTP.BatchEntries }},
			{Name: "poll-timeout", Live: true, Help: "how long the server holds a poll without a timeout of its own; raising it makes fewer requests and risks that proxies close them", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.HTTP.PollTimeout }},
			{Name: "poll-timeout-min", Live: true, Help: "shortest timeout of a poll; raising it prevents clients from polling too often", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.HTTP.MinPollTimeout }},
			{Name: "poll-timeout-max", Live: true, Help: "longest timeout of a poll; raising it lets clients hold a request longer", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.HTTP.MaxPollTimeout }},
		}},
		{"Fan-out", "", []Setting{
			{Name: "ring-slots", Help: "messages that the slowest loop may be behind (a power of two), beyond it publishing gets 429; raising it costs memory and lets loops fall further behind", Min: 2, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.RingSlots }},
			{Name: "ring-bytes", Help: "bytes of messages that the slowest loop may be behind, beyond it publishing gets 429; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.RingBytes }},
			{Name: "strip-bytes", Help: "size of the encoded bytes that subscribers of a channel share, and of one connection's part of a turn; raising it saves system calls for subscribers that are behind and costs memory for each channel with such subscribers", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.Fanout.StripBytes }},
			{Name: "lane-bytes", Help: "private bytes (replies, control frames) that wait for one connection beside a half-sent message; beyond it the server closes the connection; raising it costs memory for each connection whose socket is full", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.Fanout.LaneBytes }},
			{Name: "waiting-bytes", Help: "bytes of messages that a loop keeps ready until it can send them; beyond it the loop takes no more messages from the ring until it has sent some, and when the ring is full publishing gets 429; raising it costs that memory for each overloaded loop", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Loop.Fanout.WaitingBytes }},
			{Name: "held-bytes", Help: "half-sent messages and responses held by a loop; beyond it the server closes the connections that hold the most, counted together by address; raising it costs that memory for each loop", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Loop.Fanout.HeldBytes }},
			{Name: "answer-messages", Help: "messages in one response to a poll; raising it makes responses larger and polls fewer", Min: 1, Max: maxPoll,
				field: func(c *server.Config) any { return &c.Loop.Fanout.AnswerMessages }},
			{Name: "answer-bytes", Help: "bytes at which one response to a poll ends; raising it costs memory for each response in progress", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.Fanout.AnswerBytes }},
		}},
		{"Log", "Storage of messages across restarts. [log.md](log.md) describes the guarantees and the cost of each policy.", []Setting{
			{Name: "log", Help: "memory, which a restart empties, or file:DIR",
				field: func(c *server.Config) any { return &c.Engine }},
			{Name: "fsync", Help: "when a log in files is synced: always (before a message is shown or acknowledged), interval, never",
				field: func(c *server.Config) any { return &c.File.Fsync }},
			{Name: "fsync-interval", Help: "how long a written message may stay unsynced with --fsync interval; raising it makes a power failure cost more messages", Min: 1e6, Max: maxTime,
				field: func(c *server.Config) any { return &c.File.FsyncInterval }},
			{Name: "log-segment-bytes", Help: "size of one file of the log; raising it makes the server delete more messages at once", size: true, Min: 64 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.File.SegmentBytes }},
			{Name: "log-bytes", Help: "bytes of all files of the log, beyond it the server deletes the oldest file, 0 for no limit; raising it costs disk and time at the start", size: true, off: true, Max: maxSize,
				field: func(c *server.Config) any { return &c.File.TotalBytes }},
			{Name: "log-age", Help: "age at which the server deletes a file of the log, counted from its newest message, 0 for no limit; raising it costs disk and time at the start", off: true, Max: 365 * maxTime,
				field: func(c *server.Config) any { return &c.File.Age }},
			{Name: "log-queue-messages", Help: "messages accepted and not yet written, beyond it publishing gets 429; raising it costs memory and makes publishers wait longer", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.File.QueueEntries }},
			{Name: "log-queue-bytes", Help: "bytes of messages accepted and not yet written, beyond it publishing gets 429; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.File.QueueBytes }},
		}},
		{"Idempotent publishing", "A message that is published again with the same key is not published twice.", []Setting{
			{Name: "idempotency-window", Help: "how long a key is remembered; raising it needs room for more keys", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.IdempotencyWindow }},
			{Name: "idempotency-keys", Help: "keys remembered, one for each channel of a message; an address that has used its address-share gets 429 for further keys; when the table is full, the server evicts the oldest keys of the address with the most keys; raising it costs about 130 bytes for each key in use", Min: 1000, Max: 1 << 28,
				field: func(c *server.Config) any { return &c.IdempotencyKeys }},
		}},
		{"Presence", "The members of each channel: [protocol.md](protocol.md#presence-who-is-on-a-channel). A member for which there is no room counts as a subscriber but is not listed.", []Setting{
			{Name: "presence-grace", Help: "how long a client stays a member after its last connection or poll; raising it hides slower reconnects and shows members that have left for longer", Min: 1e8, Max: maxTime,
				field: func(c *server.Config) any { return &c.Presence.Grace }},
			{Name: "presence-named", Help: "members of a channel, and changes, up to which an event lists names; beyond it an event has counts only, once a second; raising it makes events larger for each receiver", Min: 1, Max: 1000,
				field: func(c *server.Config) any { return &c.Presence.Named }},
			{Name: "presence-members", Help: "members of all channels together; raising it needs presence-bytes", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.Presence.Members }},
			{Name: "presence-channel-members", Help: "members of one channel; raising it lets one channel take more of presence-members", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.Presence.ChannelMembers }},
			{Name: "presence-bytes", Help: "memory of all members, named connections and their channels; beyond it presence=1 on another channel also gets 429; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Presence.Bytes }},
		}},
		{"Disconnecting and revoking", "Ending the connections of a client and refusing new ones for a while: [http.md](http.md#disconnecting-post-disconnect); and refusing tokens before they expire: [http.md](http.md#revoking-tokens-post-revoke).", []Setting{
			{Name: "disconnect-window", Live: true, Help: "how long a disconnected client is kept away if the request has no `for`, 0 for not at all; raising it needs room for more clients", off: true, Max: int64(httpapi.MaxDisconnectWindow),
				field: func(c *server.Config) any { return &c.HTTP.DisconnectWindow }},
			{Name: "disconnect-clients", Help: "clients kept away at a time; beyond it, or beyond the address-share of one address, the server disconnects a client without keeping it away, and reports that in the response; raising it costs about 150 bytes and the name for each", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.DisconnectClients }},
			{Name: "revocations", Help: "users and tokens that are revoked at a time; beyond it the server refuses to revoke more (429); raising it costs about 200 bytes and the name for each", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.Revocations }},
		}},
		{"History", "Each channel keeps its newest messages within all limits. A cursor older than the kept messages gets a gap.", []Setting{
			{Name: "history-messages", Help: "messages kept of one channel, 0 for no history; raising it costs memory", off: true, Max: many,
				field: func(c *server.Config) any { return &c.Hub.Limits.Messages }},
			{Name: "history-bytes", Help: "bytes kept of one channel; a larger message is delivered and not kept; raising it costs memory", size: true, Min: 1 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Hub.Limits.Bytes }},
			{Name: "history-age", Help: "how long a message is kept; raising it costs memory for channels with few messages", Min: 1e6, Max: 365 * maxTime,
				field: func(c *server.Config) any { return &c.Hub.Limits.Age }},
			{Name: "history-total-bytes", Help: "bytes kept of all channels together; beyond it the server drops the oldest messages of the least recently published channel; cached encodings take up to a quarter more; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Hub.TotalBytes }},
			{Name: "history-forgotten-bytes", Help: "memory for the newest dropped message of each channel without subscribers and history, 16 bytes per channel; beyond it the channels with the oldest messages share marks, and a client with an older cursor may get a false gap; 0 for the marks only; raising it costs that memory when that many channels have been used", size: true, off: true, Max: maxSize,
				field: func(c *server.Config) any { return &c.Hub.ForgottenBytes }},
		}},
	}
}
