package settings

import (
	"math"
	"strings"
	"time"

	"peal/server"
	"peal/server/httpapi"
)

// Upper ends of ranges: not what is wise, but what is surely a slip of the pen.
const (
	many    = math.MaxInt32
	maxSize = 1 << 40
	maxTime = int64(24 * time.Hour)
	maxPoll = 1<<16 - 1 // messages of one answer are counted in 16 bits
	second  = int64(time.Second)
)

// Groups is the table.
func Groups() []Group {
	return []Group{
		{"Addresses", "Where the server listens, and who may reach it. `open` is also needed for an inherited listener that others can reach; `admin-open` is for the admin listener alone. A Unix socket is opened with the mode and group below, whatever the umask; to let only your proxy connect, set `socket-mode: \"0660\"` and `socket-group: www-data`, or close the directory. A socket file that a killed server left is replaced; any other file is left alone.", []Setting{
			{Name: "listen", Help: "address to listen on: host:port, unix:/path, or a port alone, which is that port of 127.0.0.1 and [::1]; repeatable",
				Default: strings.Join(server.DefaultListen(), ", and where the machine has IPv6 "),
				field:   func(c *server.Config) any { return &c.Listen }},
			{Name: "inherit", Help: "number of a listening descriptor inherited from the parent process, served beside --listen; repeatable", Default: "none",
				field: func(c *server.Config) any { return &c.Inherit }},
			{Name: "open", Help: "allow addresses that others can reach: everybody there may publish and subscribe",
				field: func(c *server.Config) any { return &c.Open }},
			{Name: "admin", Help: "address for health, metrics and profiles, as in 127.0.0.1:8081, 8081 or unix:/path; never public", Default: "none",
				field: func(c *server.Config) any { return &c.Admin }},
			{Name: "admin-open", Help: "allow --admin addresses that others can reach: everybody there may read metrics and profiles",
				field: func(c *server.Config) any { return &c.AdminOpen }},
			{Name: "socket-mode", Help: "mode of Unix sockets (unix:/path), of --listen and of --admin, in octal; the default lets every user of the machine connect, as 127.0.0.1 does",
				field: func(c *server.Config) any { return &c.SocketMode }},
			{Name: "socket-group", Help: "group of these sockets, a name or a number, as in www-data with --socket-mode 0660", Default: "that of the process",
				field: func(c *server.Config) any { return &c.SocketGroup }},
			{Name: "admin-host", Help: "host name without a port that --admin answers to beside IP addresses and localhost, such as a scraper's name for this machine; repeatable", Default: "none",
				field: func(c *server.Config) any { return &c.AdminHosts }},
			{Name: "allow-origin", Live: true, Help: "origin of web pages, as in https://app.example, that may use the server beside pages of this machine, with their users' cookies; with --open all others may too, without cookies; repeatable", Default: "none",
				field: func(c *server.Config) any { return &c.Origins }},
		}},
		{"The process", "", []Setting{
			{Name: "loops", Help: "event loops; more than there are processors are not run, with a warning", Min: 1, Default: "one for each core",
				field: func(c *server.Config) any { return &c.Loop.Loops }},
			{Name: "drain", Live: true, Help: "how long clients are given when the server ends; raising it delays the end", Min: 1e6, Max: maxTime,
				field: func(c *server.Config) any { return &c.Drain }},
			{Name: "log-format", Help: "how the server's own log is written to standard error: text, json, or auto, which is text on a terminal and json otherwise",
				field: func(c *server.Config) any { return &c.LogFormat }},
			{Name: "access-log", Help: "where a line of JSON for each request goes: off, stderr, or the path of a file, which is appended to; turning it on costs processor time for each request and the disk's room",
				field: func(c *server.Config) any { return &c.AccessLog }},
			{Name: "log-level", Live: true, Help: "the least important lines that are logged: debug, info, warn or error",
				field: func(c *server.Config) any { return &c.LogLevel }},
			{Name: "workers", Help: "goroutines for requests that could keep a loop busy (listings); raising it takes processor time from the loops", Min: 1, Max: 1 << 10,
				field: func(c *server.Config) any { return &c.Workers }},
			{Name: "address-share", Help: "percent of each table that clients fill (idempotency keys, clients kept away, members of channels) that one IPv4 address or IPv6 /64 may have; 100 where all clients come through one proxy; raising it lets one client leave less to the others", Min: 1, Max: 100,
				field: func(c *server.Config) any { return &c.AddressShare }},
			{Name: "worker-queue", Help: "requests that wait for a worker, served so that each address, and each connection of one, has the same time; beyond it 503 for the address that has most waiting; raising it costs memory and a longer wait", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.WorkerQueue }},
		}},
		{"Connections", "Timeouts count in whole seconds, rounded up.", []Setting{
			{Name: "max-connections", Live: true, Help: "connections at a time on all loops, beyond it 503; raising it costs memory for each and needs descriptors (ulimit -n)", Min: 1, Max: many, Default: "what the descriptor limit leaves, less a margin",
				field: func(c *server.Config) any { return &c.Loop.MaxConnections }},
			{Name: "message-bytes", Help: "one message, published over HTTP or WebSocket, beyond it 413 or close 1009; raising it costs memory and lets one message hold up others", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.MessageBytes }},
			{Name: "head-timeout", Help: "how long after its first byte a request head must be whole; a body, and a WebSocket message, have a second more for each KiB that has come; beyond it 408 or close 1013; raising it lets slow clients hold connections", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.HeadTimeout }},
			{Name: "idle-timeout", Help: "how long a connection may be idle between requests, and before its first; raising it keeps more connections open", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.IdleTimeout }},
			{Name: "heartbeat", Help: "time between heartbeats to a silent stream, give or take a fifth; raising it finds dead clients later and risks that proxies cut silent streams", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.Heartbeat }},
			{Name: "linger-timeout", Help: "how long a refused or closing client may take to hang up; raising it keeps such connections longer", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.Loop.LingerTimeout }},
			{Name: "input-bytes", Help: "unread and unfinished input of all connections of a loop, beyond it the connections that hold most are closed, counted together by address; raising it costs that memory for each loop", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Loop.InputBytes }},
			{Name: "parked-bytes", Help: "unread input kept of a connection that waits for an answer, beyond it reading pauses; raising it costs memory for each such connection", size: true, Min: 1, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.ParkedBytes }},
			{Name: "turn-sends", Help: "sends in one turn of a loop before it reads events again; raising it saves wake-ups and makes requests wait longer", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.Loop.TurnSends }},
			{Name: "turn-work", Help: "work on what clients sent in one turn of a loop before it reads events again, in units of about a microsecond, of which one connection has a quarter at a time; raising it lets a client that sends much hold up the others longer", Min: 100, Max: 1 << 20,
				field: func(c *server.Config) any { return &c.Loop.TurnWork }},
		}},
		{"Requests", "What one request may ask for. What a poll says about its timeout is held to the least and the greatest.", []Setting{
			{Name: "max-channels", Help: "channels of one connection or publication, beyond it 400 or close 4413; raising it costs memory for each such connection, and more for each message on several of its channels", Min: 1, Max: 1 << 12,
				field: func(c *server.Config) any { return &c.HTTP.ChannelLimit }},
			{Name: "max-subscribed-channels", Help: "channels with subscribers on a loop, beyond it the connections with most channels are closed, counted together by address; raising it costs about 1 KiB for each", Min: 1 << 10, Max: many,
				field: func(c *server.Config) any { return &c.Loop.Channels }},
			{Name: "head-bytes", Help: "one request head, beyond it 414 or 431; raising it takes longer URLs and lets each connection hold as much", size: true, Min: 1 << 10, Max: 64 << 10,
				field: func(c *server.Config) any { return &c.HTTP.HeadLimit }},
			{Name: "batch-bytes", Live: true, Help: "the body of a batch, beyond it 413; raising it costs memory for each batch on its way", size: true, Min: 1 << 10, Max: 16 << 20,
				field: func(c *server.Config) any { return &c.HTTP.BatchLimit }},
			{Name: "batch-messages", Live: true, Help: "messages of a batch, beyond it 400; raising it makes other requests to the workers wait longer", Min: 1, Max: 1 << 20,
				field: func(c *server.Config) any { return &c.HTTP.BatchMessages }},
			{Name: "batch-entries", Help: "what the messages of a batch become in all, one entry for each channel of each message, beyond it 413 for the rest; raising it lets one request cost the memory of that many entries", Min: 1, Max: 1 << 20,
				field: func(c *server.Config) any { return &c.HTTP.BatchEntries }},
			{Name: "poll-timeout", Live: true, Help: "how long a poll is held that does not say; raising it makes fewer requests and risks that proxies cut them", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.HTTP.PollTimeout }},
			{Name: "poll-timeout-min", Live: true, Help: "the least time a poll may ask for; raising it keeps clients from asking too often", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.HTTP.MinPollTimeout }},
			{Name: "poll-timeout-max", Live: true, Help: "the most a poll may ask for; raising it lets clients hold a request longer", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.HTTP.MaxPollTimeout }},
		}},
		{"Fan-out", "", []Setting{
			{Name: "ring-slots", Help: "messages the slowest loop may be behind (a power of two), beyond it publishing answers 429; raising it costs memory and lets loops fall further behind", Min: 2, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.RingSlots }},
			{Name: "ring-bytes", Help: "bytes of messages the slowest loop may be behind, beyond it publishing answers 429; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.RingBytes }},
			{Name: "strip-bytes", Help: "where shared bytes ready to be sent, and one connection's share of a turn, are cut; raising it saves system calls for who is behind and costs memory for each channel that has somebody behind", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.Fanout.StripBytes }},
			{Name: "lane-bytes", Help: "control bytes a connection may have waiting beside a half-sent message, beyond it it is closed; raising it costs memory for each connection whose socket is full", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.Fanout.LaneBytes }},
			{Name: "waiting-bytes", Help: "messages that a loop keeps ready while they wait for their turn to be sent; beyond it the loop takes no more from the ring until some were sent, and when the ring is full publishing answers 429; raising it costs that memory for each overloaded loop", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Loop.Fanout.WaitingBytes }},
			{Name: "held-bytes", Help: "half-sent messages and answers held by a loop, beyond it the connections that hold most are closed, counted together by address; raising it costs that memory for each loop", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Loop.Fanout.HeldBytes }},
			{Name: "answer-messages", Help: "messages in one poll's answer; raising it makes answers larger and polls fewer", Min: 1, Max: maxPoll,
				field: func(c *server.Config) any { return &c.Loop.Fanout.AnswerMessages }},
			{Name: "answer-bytes", Help: "bytes at which one poll's answer ends; raising it costs memory for each answer being sent", size: true, Min: 1 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.Loop.Fanout.AnswerBytes }},
		}},
		{"Log", "Where messages are kept across a restart: [log.md](log.md) says what each policy promises, and what it costs.", []Setting{
			{Name: "log", Help: "memory, which a restart empties, or file:DIR",
				field: func(c *server.Config) any { return &c.Engine }},
			{Name: "fsync", Help: "when a log in files is synced: always (before a message is shown or acknowledged), interval, never",
				field: func(c *server.Config) any { return &c.File.Fsync }},
			{Name: "fsync-interval", Help: "how long after it was written a message may stay unsynced with --fsync interval; raising it makes a power failure cost more messages", Min: 1e6, Max: maxTime,
				field: func(c *server.Config) any { return &c.File.FsyncInterval }},
			{Name: "log-segment-bytes", Help: "size of one file of the log; raising it makes what is deleted at once larger", size: true, Min: 64 << 10, Max: 1 << 30,
				field: func(c *server.Config) any { return &c.File.SegmentBytes }},
			{Name: "log-bytes", Help: "bytes of all files of the log, beyond it the oldest file goes, 0 for no limit; raising it costs disk and time at the start", size: true, off: true, Max: maxSize,
				field: func(c *server.Config) any { return &c.File.TotalBytes }},
			{Name: "log-age", Help: "age at which a file of the log goes, counted from its newest message, 0 for no limit; raising it costs disk and time at the start", off: true, Max: 365 * maxTime,
				field: func(c *server.Config) any { return &c.File.Age }},
			{Name: "log-queue-messages", Help: "messages accepted and not yet written, beyond it publishing answers 429; raising it costs memory and makes publishers wait longer", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.File.QueueEntries }},
			{Name: "log-queue-bytes", Help: "bytes of messages accepted and not yet written, beyond it publishing answers 429; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.File.QueueBytes }},
		}},
		{"Idempotent publishing", "A message that is published again with the same key is not published twice.", []Setting{
			{Name: "idempotency-window", Help: "how long a key is remembered; raising it needs room for more keys", Min: second, Max: maxTime,
				field: func(c *server.Config) any { return &c.IdempotencyWindow }},
			{Name: "idempotency-keys", Help: "keys remembered, one for each channel of a message; an address that has its address-share of them gets 429 for further ones, and when all are in use the address that has most loses its oldest to the others; raising it costs about 130 bytes for each key in use", Min: 1000, Max: 1 << 28,
				field: func(c *server.Config) any { return &c.IdempotencyKeys }},
		}},
		{"Presence", "Who is on which channel: [protocol.md](protocol.md#presence-who-is-on-a-channel). When there is no room for one more member it is counted, not listed.", []Setting{
			{Name: "presence-grace", Help: "how long a client stays a member after its last connection or poll; raising it lets slower reconnects pass unseen and shows the gone longer", Min: 1e8, Max: maxTime,
				field: func(c *server.Config) any { return &c.Presence.Grace }},
			{Name: "presence-named", Help: "members of a channel, and changes, up to which an event says who; beyond it how many, once a second; raising it makes events larger for everybody who is told", Min: 1, Max: 1000,
				field: func(c *server.Config) any { return &c.Presence.Named }},
			{Name: "presence-members", Help: "members of all channels together; raising it needs presence-bytes", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.Presence.Members }},
			{Name: "presence-channel-members", Help: "members of one channel; raising it lets one channel take more of presence-members", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.Presence.ChannelMembers }},
			{Name: "presence-bytes", Help: "memory of all members, named connections and the channels they are on, beyond it also asking for the presence of another channel answers 429; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Presence.Bytes }},
		}},
		{"Disconnecting", "Ending the connections of a client, and keeping it away for a while: [http.md](http.md#disconnecting-post-disconnect).", []Setting{
			{Name: "disconnect-window", Live: true, Help: "how long a client is kept away where the request does not say, 0 for not at all; raising it needs room for more clients", off: true, Max: int64(httpapi.MaxDisconnectWindow),
				field: func(c *server.Config) any { return &c.HTTP.DisconnectWindow }},
			{Name: "disconnect-clients", Help: "clients kept away at a time; beyond it, and beyond its address-share of one address, a client is disconnected and not kept away, and the response says so; raising it costs about 150 bytes and the name for each", Min: 1, Max: many,
				field: func(c *server.Config) any { return &c.DisconnectClients }},
		}},
		{"History", "Each channel keeps its newest messages within all limits; what is older is a gap.", []Setting{
			{Name: "history-messages", Help: "messages kept of one channel, 0 for no history; raising it costs memory", off: true, Max: many,
				field: func(c *server.Config) any { return &c.Hub.Limits.Messages }},
			{Name: "history-bytes", Help: "bytes kept of one channel; a larger message is delivered and not kept; raising it costs memory", size: true, Min: 1 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Hub.Limits.Bytes }},
			{Name: "history-age", Help: "how long a message is kept; raising it costs memory where messages are few", Min: 1e6, Max: 365 * maxTime,
				field: func(c *server.Config) any { return &c.Hub.Limits.Age }},
			{Name: "history-total-bytes", Help: "bytes kept of all channels together, beyond it the oldest of the least recently published channel go; what messages look like on the wire is kept beside it, up to a quarter more; raising it costs that memory", size: true, Min: 64 << 10, Max: maxSize,
				field: func(c *server.Config) any { return &c.Hub.TotalBytes }},
			{Name: "history-forgotten-bytes", Help: "memory of which messages are gone from channels without subscribers and history, 16 bytes for each channel; beyond it those with the oldest messages share marks, and a client with an older cursor may see a gap that is none; 0 for the marks alone; raising it costs that memory once as many channels were used", size: true, off: true, Max: maxSize,
				field: func(c *server.Config) any { return &c.Hub.ForgottenBytes }},
		}},
	}
}
