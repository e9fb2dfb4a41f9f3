package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Target is a server and how subscribers reach it.
type Target struct {
	Endpoint
	Text      string
	Transport Transport
	Protocol  string // subprotocol of the WebSocket
	Format    Format // "": the server's choice
	Peer      string // another server's dialect; "": none
	Path      string // with the query, without the channel
	Channel   string // "": none is named
	Named     bool   // the channel is a parameter of the request
	publish   string // where a peer publishes
	trust     *TLS   // of connections that are secured
	secret    string // what a peer's publications are signed with
}

// schemes are what a target can begin with, over TLS with an s more.
var schemes = []struct {
	name      string
	transport Transport
	protocol  string
	path      string // if there is none
	peer      string
	publish   string // the peer's path to publish to, on the same address; "": not known
}{
	{"ws", WebSocket, "", "/", "", ""},
	{"peal+ws", WebSocket, "peal.v1", "/ws", "", ""},
	{"sse+http", SSE, "", "/sse", "", ""},
	{"poll+http", Poll, "", "/poll", "", ""},
	{"centrifugo+ws", WebSocket, "", "/connection/websocket", "centrifugo", "/api/publish"},
	{"mercure+http", SSE, "", "/.well-known/mercure", "mercure", "/.well-known/mercure"},
	{"nchan+ws", WebSocket, "", "/sub", "nchan", "/pub"},
	{"pusher+ws", WebSocket, "", "/", "pusher", ""},
	{"nchan+http", SSE, "", "/sub", "nchan", "/pub"},
}

// DefaultTarget is a Peal on this machine.
const DefaultTarget = "ws://127.0.0.1:8080/ws?channel=bench"

// ParseTarget reads a target and resolves its host's name. secret signs what is
// published to a Pusher's application; "" for other servers.
func ParseTarget(ctx context.Context, text, secret string) (t Target, err error) {
	t = Target{Text: text, secret: secret}
	fault := func(format string, args ...any) (Target, error) {
		return Target{}, fmt.Errorf("target %q: "+format, append([]any{text}, args...)...)
	}
	scheme, rest, _ := strings.Cut(text, "://")
	var names []string
	secured := false
	for _, s := range schemes {
		if names = append(names, s.name+"://"); s.name == scheme || s.name+"s" == scheme {
			secured = s.name != scheme
			t.Peer, t.publish, t.Transport, t.Protocol, t.Path = s.peer, s.publish, s.transport, s.protocol, s.path
		}
	}
	if t.Transport == "" {
		return fault("must begin with %s, or over TLS with wss or https", strings.Join(names, ", "))
	}
	u, err := url.Parse("http://" + rest)
	if err != nil || u.Hostname() == "" {
		return fault("must be like %s", DefaultTarget)
	}
	if path := u.EscapedPath(); path != "" && path != "/" {
		t.Path = path
	}
	query := u.Query()
	if channels := query["channel"]; len(channels) > 1 {
		return fault("one channel only: --channels N makes N of it")
	} else if len(channels) == 1 {
		t.Channel, t.Named = channels[0], true
		query.Del("channel")
	}
	if t.Protocol != "" {
		t.Format = JSON
	}
	switch f := Format(query.Get("format")); f {
	case JSON, Raw:
		t.Format = f
		query.Del("format")
	case "":
	default:
		return fault("format is json or raw")
	}
	if t.Peer == "pusher" {
		if query.Has("secret") {
			text = u.Host // the message must not repeat it
		}
		if err := t.pusher(query); err != nil {
			return fault("%w", err)
		}
	}
	if len(query) > 0 {
		t.Path = withParameter(t.Path, query.Encode())
	}
	if t.Endpoint, err = resolve(ctx, u, secured); err != nil {
		return fault("%w", err)
	}
	return t, nil
}

// Trust sets how connections are secured, to the target and to where it publishes,
// where their addresses say that they are.
func (t *Target) Trust(with *TLS) {
	if t.trust = with; t.TLS != nil {
		t.TLS = with
	}
}

// pusher reads what a target says of Pusher's application: key=, or the end of
// its path as in /app/KEY, and app=, its id. The secret must not stand there:
// targets are in every report.
func (t *Target) pusher(query url.Values) error {
	if query.Has("secret") {
		return errors.New("give the secret with --secret: targets stand in reports")
	}
	key, app := query.Get("key"), query.Get("app")
	query.Del("key")
	query.Del("app")
	before, end, found := strings.Cut(t.Path, "/app/")
	if key == "" && found {
		key, _ = url.PathUnescape(end) // of an escaped path
	}
	if key == "" || app == "" {
		return errors.New("must name the application, like pusher+ws://HOST?channel=bench&key=KEY&app=ID")
	}
	open, publish := PusherPaths(key, app)
	t.Path, t.publish = strings.TrimSuffix(before, "/")+open, publish
	return nil
}

// resolve finds the addresses of u's host: IPv4 before IPv6, which the machine may
// lack.
func resolve(ctx context.Context, u *url.URL, secured bool) (e Endpoint, err error) {
	port := "80"
	if e.Host = u.Host; secured {
		e.TLS, port = &TLS{}, "443"
	}
	if strings.Contains(u.Host, "%") {
		return e, fmt.Errorf("%s: addresses with a zone are not supported", u.Host)
	}
	port = cmp.Or(u.Port(), port)
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return e, fmt.Errorf("invalid port %q", port)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return e, fmt.Errorf("no address of %s: %w", u.Hostname(), err)
	}
	for i, ip := range ips {
		ips[i] = ip.Unmap()
	}
	slices.SortStableFunc(ips, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	for _, ip := range slices.Compact(ips) {
		e.More = append(e.More, net.JoinHostPort(ip.String(), port))
	}
	e.Addr, e.More = e.More[0], e.More[1:]
	return e, nil
}

// Local reports whether the target is reached without leaving the machine.
func (t *Target) Local() bool {
	a, err := netip.ParseAddrPort(t.Addr)
	return err == nil && a.Addr().IsLoopback()
}

// Port is the target's.
func (t *Target) Port() int {
	a, _ := netip.ParseAddrPort(t.Addr) // resolve made it
	return int(a.Port())
}

// Peal reports whether the paths are Peal's, whose publish address is known.
func (t *Target) Peal() bool {
	path, _, _ := strings.Cut(t.Path, "?")
	return t.Peer == "" && (path == "/ws" || path == "/sse" || path == "/poll" || path == "/" && t.Transport == WebSocket)
}

// Resumes reports whether subscribers that come back say where they were: a
// Peal's with its cursor, those of event streams with their last event's id,
// Centrifugo's with epoch and offset.
func (t *Target) Resumes() bool {
	return t.Peal() || t.Transport == SSE || t.Peer == "centrifugo"
}

// With returns the target over another transport, at Peal's path for it.
func (t Target) With(transport Transport) Target {
	t.Transport, t.Protocol, t.Format, t.Path = transport, "", "", "/"+string(transport)
	return t
}

// Spec describes so many subscribers of the target, each of one of the channels.
func (t *Target) Spec(channels, connections int) Spec {
	s := Spec{Endpoint: t.Endpoint, Transport: t.Transport, Protocol: t.Protocol, Format: t.Format, Path: t.Path, Connections: connections}
	if t.Peer != "" {
		s.Peer, s.Channel = t.Peer, t.channel(1, 0)
	}
	switch {
	case channels > 1:
		s.Channels, s.Stride, s.Around, s.Prefix = 1, 1, channels, t.prefix()
	case t.Named && t.Peer == "":
		s.Path = withParameter(s.Path, "channel="+url.QueryEscape(t.Channel))
	}
	return s
}

// prefix is what the names of many channels begin with.
func (t *Target) prefix() string { return cmp.Or(t.Channel, "bench") + "-" }

// channel is the name of a stream's channel.
func (t *Target) channel(channels, stream int) string {
	if channels > 1 {
		return ChannelName(t.prefix(), stream)
	}
	if !t.Named {
		return "main" // Peal's, where none is named
	}
	return t.Channel
}

// Publish is where to publish for the target: override, or what follows from a
// Peal's address. In an override, {channel} stands for the channel.
func (t *Target) Publish(ctx context.Context, override, header string, channels int) (p PublishTarget, err error) {
	p = PublishTarget{Endpoint: t.Endpoint, Header: header, Streams: channels}
	path := cmp.Or(t.publish, "/publish?channel={channel}")
	if override != "" {
		fault := func(format string, args ...any) (PublishTarget, error) {
			return p, fmt.Errorf("--publish %q: "+format, append([]any{override}, args...)...)
		}
		scheme, rest, _ := strings.Cut(override, "://")
		u, err := url.Parse("http://" + rest)
		secured := scheme == "https" || scheme == "wss"
		if !secured && scheme != "http" && scheme != "ws" || err != nil || u.Hostname() == "" {
			return fault("must be like http://127.0.0.1:8080/publish?channel={channel}, or begin with https://, ws:// or wss://")
		}
		if p.Endpoint, err = resolve(ctx, u, secured); err != nil {
			return fault("%w", err)
		}
		if p.TLS != nil && t.trust != nil {
			p.TLS = t.trust
		}
		p.WebSocket = scheme[0] == 'w'
		if _, own, _ := strings.Cut(rest, "/"); own != "" || t.publish == "" { // otherwise it is only another address
			path = "/" + own
		}
		if channels > 1 && t.Peer == "" && !strings.Contains(path, "{channel}") {
			return fault("must have {channel} where each of the %d channels is named", channels)
		}
	} else if t.publish == "" && !t.Peal() {
		return p, fmt.Errorf("target %q is not a Peal server: name the address to publish to with --publish", t.Text)
	}
	channel := func(stream int) string { return t.channel(channels, stream) }
	p.Path = func(stream int) string {
		return strings.ReplaceAll(path, "{channel}", url.QueryEscape(channel(stream)))
	}
	peer, err := PeerNamed(t.Peer, t.secret)
	if peer != nil {
		p = p.to(peer, channel)
	}
	return p, err
}
