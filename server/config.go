package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"peal/loop"
	"peal/server/apikey"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/auth"
	"peal/server/certificate"
	"peal/server/cluster"
	"peal/server/credential"
	"peal/server/engine"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/logging"
	"peal/server/presence"
	"peal/server/rules"
	"peal/server/token"
	"peal/server/upgrade"
	"peal/server/webhook"
)

// Values of Config.Auth.
const (
	AuthOpen  = "open"
	AuthToken = "token"
)

// NoCookie is the value of Config.TokenCookie for none.
const NoCookie = "off"

// Config is what an operator can set.
type Config struct {
	// Listen are the addresses: "host:port", "unix:/path", or a port alone, which
	// is that port of 127.0.0.1, and of [::1] where the machine has IPv6. Default
	// "8080".
	Listen []string

	// Inherit are listening descriptors of the parent process, served beside Listen.
	Inherit []int

	// InheritPlain are those that stay cleartext, as ListenPlain. Without TLS all do.
	InheritPlain []int

	// InheritAdmin are those that the operator's listener serves beside Admin.
	InheritAdmin []int

	// TLS, with certificates or domains, encrypts connections to the TCP addresses of
	// Listen and Inherit. ListenPlain are TCP addresses, as in Listen, that stay
	// cleartext beside them. HTTPRedirect is the address of a listener that sends http
	// to https, and answers challenges of ACME; default none.
	TLS          TLS
	ListenPlain  []string
	HTTPRedirect string

	// Open lets the server listen on addresses that others can reach, and answer
	// to any Host and Origin. Everybody who reaches it may publish and subscribe.
	Open bool

	// Auth says who may do what: AuthOpen, the default, allows everything that no rule
	// of a channel restricts; AuthToken refuses what no rule, token or key grants. Then
	// the server may listen on any address, and answers to any Host.
	Auth string

	// Token is how tokens are verified. Without secrets, keys and key sets none are.
	Token token.Config

	// TokenCookie is the name of the cookie that may carry a token, default
	// "peal_token", "off" for none. TokenQuery is whether ?token= may; default Yes.
	TokenCookie string
	TokenQuery  rules.Choice

	// TokenWorkers verify tokens that are not known yet, default half of the processors
	// and at least 2, because one may wait for the keys of an issuer;
	// TokenQueue connections wait for them, default 20,000. Beyond it 503.
	TokenWorkers, TokenQueue int

	// Mercure is the settings of that protocol. Default off.
	Mercure Mercure

	// Admin is the address of the operator's listener: health, metrics,
	// profiles. Default none. It must not be public. AdminOpen lets it be one that
	// others can reach.
	Admin     string
	AdminOpen bool

	// AdminTLS encrypts connections to Admin.
	AdminTLS AdminTLS

	// SocketMode is the mode of Unix sockets in octal, default "0666"; SocketGroup
	// their group by name or number, default that of the process.
	SocketMode, SocketGroup string

	// AdminHosts are names, without a port, that the operator's listener answers to
	// beside IP addresses and localhost: those by which a scraper reaches it. Default
	// none: a web site's own name could otherwise resolve to it.
	AdminHosts []string

	// OperatorKeys are those that the operator's listener asks for; default none: it asks for none.
	// OperatorKeyFiles are where the creator of the Config has taken some of them from; the server does not read
	// them.
	OperatorKeys     []credential.Definition
	OperatorKeyFiles []string

	// Origins are those of web pages that may use the server beside pages of this
	// machine, and with their users' cookies: exact ones as in https://app.example, all
	// below a name as in https://*.example.org, and null, which gets no cookies. At most
	// auth.MostOrigins; default none. With Open pages of all others may use it too,
	// without cookies.
	Origins []string

	// TrustedProxies are networks and addresses of proxies whose word about their clients
	// counts, "loopback" for this machine, and "unix" for the clients of Unix sockets; see
	// package forwarded. Default none.
	TrustedProxies []string

	// Keys are those of backends. Default none. KeyFiles are where the creator of the
	// Config has taken some of them from; the server does not read them.
	Keys     []apikey.Definition
	KeyFiles []string

	// Apps are those of the Pusher Channels protocol, and App is one more as ID:KEY:SECRET.
	// Default none. AppFiles are where the creator of the Config has taken some of Apps from; the server does
	// not read them.
	Apps     []app.Definition
	App      string
	AppFiles []string

	// Drain is how long clients are given at the end. Default 10 s. DrainDelay is how long
	// the server serves as before at the end, while it reports that it is not ready, so
	// that load balancers learn of it before it stops to accept. Default none.
	Drain, DrainDelay time.Duration

	// RingSlots is how many publications the slowest loop may be behind (a power
	// of two, default 16384), RingBytes how many bytes (default 64 MiB). Beyond
	// either publishing answers "full".
	RingSlots, RingBytes int

	// Workers answer requests that could keep a loop busy (listings), behind a
	// queue of WorkerQueue; beyond it 503. Defaults 2 and 256.
	Workers, WorkerQueue int

	// AddressShare is how much of each table that clients fill (idempotency keys,
	// clients that are kept away, members of channels) those of one address may
	// have, in percent, default 50; at most 100, for a server behind one proxy. See
	// package share.
	AddressShare int

	// FallbackSessions is how many sessions of Pusher clients over plain HTTP there may be,
	// default 10,000; those of one address have AddressShare of them.
	FallbackSessions int

	// IdempotencyWindow is how long an idempotency key is remembered, default 5
	// minutes; IdempotencyKeys how many are, default 500,000. An address that has
	// its share of them is refused. When all are in use, the address that has most
	// gives up its oldest to others.
	IdempotencyWindow time.Duration
	IdempotencyKeys   int

	// DisconnectClients is how many disconnected clients are kept away at a time,
	// default 100,000. Beyond that, and beyond the share of an address, further ones
	// are disconnected and not kept away, and the response says so. When all are in
	// use, the address that has most gives up those that end first to others.
	DisconnectClients int

	// Revocations is how many subjects and IDs of tokens are revoked at a time, default
	// 100,000. Beyond that a request for more is refused: what was accepted must hold.
	Revocations int

	HTTP httpapi.Limits // what one request may ask for; BatchLimit must fit into Loop.InputBytes: see relations.go

	Admission Admission // of new connections

	Input Input // of each connection

	// MemoryLimit is how much memory the process may have, in bytes. Beyond nine tenths of it new
	// connections are refused, and those that have been stalled the longest end; beyond it publications are refused, too. Default nine
	// tenths of the limit of the cgroup, if it has one; negative: none.
	MemoryLimit int

	// IOUring has the loops send to up to 64 connections with one system call, where the system allows
	// io_uring. Connections over TLS are sent to one at a time all the same. Default false.
	IOUring bool

	Loop loop.Config // loops, connections, timeouts; Loops defaults to GOMAXPROCS here
	Hub  hub.Config  // history

	Presence presence.Config // who is on which channel

	// OTLP is where spans of publications go. Default nowhere.
	OTLP OTLP

	// TraceLives is how many connections are in the record for Trace, of which those that have ended are
	// forgotten first; TraceBytes the memory of it, default 64 MiB. Default none.
	TraceLives, TraceBytes int

	// Engine keeps the log: "memory", the default, which a restart empties, or
	// "file:DIR".
	Engine string
	engine.Settings

	// NodeName is the name of this server among those that share its log, default host:port,
	// and Version is that of the program, for the others. NodeLease is how long one of them may be silent before
	// the others take it for dead, default 5 s.
	NodeName, Version string
	NodeLease         time.Duration

	// Deflate is whether messages of channels without a rule are compressed for clients
	// that can take that, default No; DeflateMinBytes the length below which messages are
	// not compressed, default 256.
	Deflate         rules.Choice
	DeflateMinBytes int

	// Channels are rules for channels by name: the first that matches holds, and
	// what it leaves open is as for all other channels. Default none.
	Channels []rules.Rule

	// Webhooks are the endpoints of backends to which the server sends events. Default none.
	// WebhookNames is how many channels and members are observed for them.
	Webhooks     []webhook.Definition
	WebhookNames int

	// Ask is how a backend is asked whether clients may connect, subscribe and publish: at most
	// one. Default none.
	Ask []ask.Definition

	Log *slog.Logger // default slog.Default()

	open func() (log.Engine, error) // instead of Engine, for tests; nil for none

	succeeds *log.Handover    // of the process whose log Engine takes over; nil for none
	now      func() time.Time // for the age of what the node has read, in tests; nil: time.Now

	// LostLines is how many lines of Log were lost, for the metric; default none.
	// Any goroutine may call it.
	LostLines func() uint64

	// Reread has the configuration and its files read again and Reload called, and returns
	// what was done in words: for POST /reload of the admin listener. Default none: then
	// there is nothing to read. Any goroutine may call it.
	Reread func(ctx context.Context) (done string, err error)

	// Succeed has another process go on for this one, by Upgrade, and returns what was done: for
	// POST /upgrade of the admin listener. Default none. Any goroutine may call it.
	Succeed func(ctx context.Context, order upgrade.Order) (upgrade.Report, error)

	// UpgradeTimeout is how long the new process of an upgrade may take until it is ready, default 5 minutes;
	// UpgradePause how long connections may wait until it goes on with them, default 5 s. Beyond either the
	// running process goes on. They are for Succeed.
	UpgradeTimeout, UpgradePause time.Duration

	// AccessLog is where a line for each request goes: "off", the default,
	// "stderr", or the path of a file. Turning it on costs about 2 µs a request.
	AccessLog string

	// LogFormat (auto, text, json) and LogLevel (debug, info, warn, error) are for
	// the creator of Log; see package logging. Defaults auto and info.
	LogFormat, LogLevel string
}

// WithDefaults returns c with its zero values filled in, those of the rooms
// below too; Listen is left alone.
func (c Config) WithDefaults() Config {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&c.RingSlots, 1<<14)
	number(&c.RingBytes, 64<<20)
	number(&c.Workers, 2)
	number(&c.WorkerQueue, 256)
	number(&c.AddressShare, 50)
	number(&c.FallbackSessions, 10_000)
	number(&c.TokenWorkers, max(2, runtime.GOMAXPROCS(0)/2))
	number(&c.TokenQueue, 20_000)
	if c.Auth == "" {
		c.Auth = AuthOpen
	}
	if c.TokenCookie == "" {
		c.TokenCookie = "peal_token"
	}
	if c.Mercure.Cookie == "" {
		c.Mercure.Cookie = "mercureAuthorization"
	}
	if c.Mercure.Query == 0 {
		c.Mercure.Query = rules.Yes
	}
	if c.NodeLease == 0 {
		c.NodeLease = cluster.DefaultLease
	}
	if c.Deflate == 0 {
		c.Deflate = rules.No
	}
	number(&c.DeflateMinBytes, 256)
	if c.TokenQuery == 0 {
		c.TokenQuery = rules.Yes
	}
	number(&c.IdempotencyKeys, 500_000)
	number(&c.DisconnectClients, 100_000)
	number(&c.Revocations, 100_000)
	number(&c.WebhookNames, webhook.DefaultNames)
	number(&c.TraceLives, -1)
	number(&c.TraceBytes, 64<<20)
	number(&c.Loop.Loops, runtime.GOMAXPROCS(0))
	if c.Drain <= 0 {
		c.Drain = 10 * time.Second
	}
	if c.UpgradeTimeout <= 0 {
		c.UpgradeTimeout = 5 * time.Minute
	}
	if c.UpgradePause <= 0 {
		c.UpgradePause = 5 * time.Second
	}
	number(&c.TLS.Handshakes, 512)
	if c.TLS.HandshakeTimeout <= 0 {
		c.TLS.HandshakeTimeout = 10 * time.Second
	}
	if c.TLS.RecordTimeout <= 0 {
		c.TLS.RecordTimeout = 30 * time.Second
	}
	if c.TLS.ACME.Directory == "" {
		c.TLS.ACME.Directory = certificate.LetsEncrypt
	}
	if c.TLS.ACME.Dir == "" {
		c.TLS.ACME.Dir = acmeDir()
	}
	if c.SocketMode == "" {
		c.SocketMode = defaultSocketMode
	}
	if c.LogFormat == "" {
		c.LogFormat = logging.Auto
	}
	if c.AccessLog == "" {
		c.AccessLog = logging.AccessOff
	}
	if c.LogLevel == "" {
		c.LogLevel = logging.DefaultLevel
	}
	if c.IdempotencyWindow <= 0 {
		c.IdempotencyWindow = 5 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Loop.Log = c.Log
	lane := c.Loop.Fanout.LaneBytes
	c.Loop = c.Loop.WithDefaults()
	c.Loop.Fanout.LaneBytes = lane // its default depends on the channels: below
	if c.HTTP.BatchLimit <= 0 {
		c.HTTP.BatchLimit = max(1<<10, min(1<<20, largestInput(c.Loop.InputBytes)-c.HTTP.WithDefaults().HeadLimit))
	}
	c.HTTP = c.HTTP.WithDefaults()
	if c.Loop.Fanout.LaneBytes <= 0 {
		c.Loop.Fanout.LaneBytes = laneFor(max(32, c.HTTP.ChannelLimit))
	}
	c.Loop = c.Loop.WithDefaults()
	if c.MemoryLimit == 0 {
		c.MemoryLimit = defaultMemoryLimit()
	}
	c.Admission = c.Admission.withDefaults(c.Loop.MaxConnections)
	c.Loop.Admission = c.Admission.limits()
	c.Input = c.Input.withDefaults()
	c.Loop.Inflow = c.Input.inflow()
	c.Hub = c.Hub.WithDefaults()
	c.Presence.Share = c.AddressShare
	c.Presence = c.Presence.WithDefaults()
	if c.Engine == "" {
		c.Engine = engine.Default
	}
	c.Redis.Window = c.IdempotencyWindow
	c.Settings = c.Settings.WithDefaults(c.Log)
	c.Token.Log = c.Log
	duration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	duration(&c.Token.Leeway, token.DefaultLeeway)
	duration(&c.Token.Lifetime, token.DefaultLifetime)
	number(&c.Token.CacheEntries, token.DefaultCacheEntries)
	number(&c.Token.CacheBytes, token.DefaultCacheBytes)
	return c
}

// ofShare is what one address may have of a table of that many entries, at least one.
func (c Config) ofShare(entries int) int {
	return max(1, int(int64(entries)*int64(c.AddressShare)/100))
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var errs []error
	for _, a := range c.Listen {
		if err := c.checkListen(a); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, c.checkOrigins()...)
	if _, err := c.trustProxies(); err != nil {
		errs = append(errs, err)
	}
	for _, h := range c.AdminHosts {
		if !auth.IsHost(h) {
			errs = append(errs, fmt.Errorf("config: admin-host %q: must be a host name in lower case without a port, as in peal.internal", h))
		}
	}
	errs = append(errs, c.checkAccess()...)
	errs = append(errs, c.checkOTLP()...)
	errs = append(errs, c.checkApps())
	errs = append(errs, c.checkMercure()...)
	errs = append(errs, c.checkNode())
	errs = append(errs, c.checkAdmin(), c.checkSocketMode())
	errs = append(errs, c.checkTwice()...)
	errs = append(errs, c.checkTLS()...)
	if c.RingSlots > 0 && c.RingSlots&(c.RingSlots-1) != 0 {
		errs = append(errs, fmt.Errorf("config: ring-slots %d: must be a power of two", c.RingSlots))
	}
	if n := c.Input.Bytes; n > 0 && n < 4<<10 {
		errs = append(errs, fmt.Errorf("config: rate-input-bytes %d: must be at least 4KiB, or 0 for no limit: a message needs as many in a second", n))
	}
	if c.AddressShare > 100 {
		errs = append(errs, fmt.Errorf("config: address-share %d: must be at most 100 (percent)", c.AddressShare))
	}
	d := c.WithDefaults()
	errs = append(errs, d.relations()...)
	if most := d.ofShare(d.IdempotencyKeys); most < d.HTTP.ChannelLimit {
		errs = append(errs, fmt.Errorf("config: idempotency-keys %d with address-share %d (percent) are %d keys for one address, and a message may have %d channels (max-channels), one key for each: raise idempotency-keys or address-share, or lower max-channels", d.IdempotencyKeys, d.AddressShare, most, d.HTTP.ChannelLimit))
	}
	errs = append(errs, logging.Check(d.LogFormat, d.LogLevel), c.HTTP.Validate(), apikey.Validate(c.Keys), credential.Validate(c.OperatorKeys), webhook.Validate(c.Webhooks), ask.Validate(c.Ask),
		c.Hub.Validate(), rules.Validate(c.Channels, d.Loop.MessageBytes), engine.Validate(c.Engine, c.Settings, d.Loop.MessageBytes))
	return errors.Join(errs...)
}

// standard is what holds for channels without a rule; c has its defaults.
func (c Config) standard() rules.Rule {
	who := rules.Anyone
	if c.Auth == AuthToken {
		who = rules.Token
	}
	return rules.Rule{
		Subscribe:       who,
		Publish:         who,
		HistoryMessages: c.Hub.Limits.Messages,
		HistoryBytes:    c.Hub.Limits.Bytes,
		HistoryAge:      c.Hub.Limits.Age,
		MessageBytes:    c.Loop.MessageBytes,
		Deflate:         c.Deflate,
	}
}
