package loadtest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"peal/loadtest/dialect"
)

// Target is a server and how subscribers reach it.
type Target struct {
	Endpoint
	Text      string
	Transport Transport
	Protocol  string // subprotocol of the WebSocket
	Format    Format // "": the server's choice
	Path      string // with the query, without the channel
	Channel   string // "": none is named
	Named     bool   // the channel is a parameter of the request
	trust     *TLS   // of connections that are secured

	Dialect *dialect.Dialect // another server's; nil: none
	Data    dialect.Data     // what the placeholders of its templates stand for
}

// schemes are what a target can begin with, over TLS with an s more. Further ones are the
// names of dialects, with +ws or +http.
var schemes = []struct {
	name      string
	transport Transport
	protocol  string
	path      string // if there is none
}{
	{"ws", WebSocket, "", "/"},
	{"peal+ws", WebSocket, "peal.v1", "/ws"},
	{"sse+http", SSE, "", "/sse"},
	{"poll+http", Poll, "", "/poll"},
}

// DefaultTarget is a Peal on this machine.
const DefaultTarget = "ws://127.0.0.1:8080/ws?channel=bench"

// ParseTarget reads a target and resolves its host's name. spoken is laid over the
// dialect that the target names; nil is none.
func ParseTarget(ctx context.Context, text string, spoken *dialect.Dialect, data dialect.Data) (t Target, err error) {
	t = Target{Text: text, Data: data}
	fault := func(format string, args ...any) (Target, error) {
		return Target{}, fmt.Errorf("target %q: "+format, append([]any{text}, args...)...)
	}
	scheme, rest, _ := strings.Cut(text, "://")
	var names []string
	secured := false
	for _, s := range schemes {
		if names = append(names, s.name+"://"); s.name == scheme || s.name+"s" == scheme {
			secured = s.name != scheme
			t.Transport, t.Protocol, t.Path = s.transport, s.protocol, s.path
		}
	}
	if t.Transport == "" {
		if secured, err = t.named(scheme); err != nil {
			return fault("must begin with %s, or over TLS with wss or https, or name a dialect, like %s: %w", strings.Join(names, ", "), strings.Join(dialectSchemes(), ", "), err)
		}
	}
	t.Dialect = t.Dialect.With(spoken)
	u, err := url.Parse("http://" + rest)
	if err != nil || u.Hostname() == "" {
		return fault("must be like %s", DefaultTarget)
	}
	own := u.EscapedPath()
	if own != "" && own != "/" {
		t.Path = own
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
	if t.Dialect != nil {
		if query.Has("secret") {
			text = u.Host // the message must not repeat it
		}
		if err := t.speak(own, query); err != nil {
			return fault("%w", err)
		}
	}
	if len(query) > 0 {
		t.Path = withParameter(t.Path, query.Encode())
	}
	if t.Dialect != nil || data.Given() {
		t.Path = braces.Replace(t.Path)
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

// Cluster has the subscribers and publishers of each target try the addresses of the others,
// too: the targets are nodes that share a log. The subscribers of one that is away
// are spread over all others.
func Cluster(nodes []Target) {
	addrs := make([]string, len(nodes))
	for i := range nodes {
		addrs[i] = nodes[i].Addr
	}
	for i := range nodes {
		nodes[i].More = slices.Concat(addrs[i+1:], addrs[:i])
		nodes[i].Spread = len(nodes) > 1
	}
}

// Peal reports whether the paths are Peal's, whose publish address is known.
func (t *Target) Peal() bool {
	path, _, _ := strings.Cut(t.Path, "?")
	return t.Dialect == nil && (path == "/ws" || path == "/sse" || path == "/poll" || path == "/" && t.Transport == WebSocket)
}

// Resumes reports whether subscribers that come back say where they were: a
// Peal's with its cursor, those of event streams with their last event's id,
// Centrifugo's with epoch and offset.
func (t *Target) Resumes() bool {
	return t.Peal() || t.Transport == SSE || t.Dialect != nil && (t.Dialect.Resumes() || t.Transport == Poll && t.Dialect.Cursor != "")
}

// With returns the target over another transport, at Peal's path for it.
func (t Target) With(transport Transport) Target {
	t.Transport, t.Protocol, t.Format, t.Path = transport, "", "", "/"+string(transport)
	return t
}

// Spec describes so many subscribers of the target, each of one of the channels.
func (t *Target) Spec(channels, connections int) Spec {
	s := Spec{Endpoint: t.Endpoint, Transport: t.Transport, Protocol: t.Protocol, Format: t.Format, Path: t.Path, Data: t.Data, Connections: connections}
	if t.Dialect != nil {
		s.Dialect, s.Channel = t.Dialect, t.channel(1, 0)
	}
	switch {
	case channels > 1:
		s.Channels, s.Stride, s.Around, s.Prefix = 1, 1, channels, t.prefix()
	case t.Named && t.Dialect == nil:
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

// Publish is where to publish for the target: override, or what follows from its
// dialect or a Peal's address. In an override, {channel} stands for the channel.
func (t *Target) Publish(ctx context.Context, override, header string, channels int) (p PublishTarget, err error) {
	p = PublishTarget{Endpoint: t.Endpoint, Streams: channels, Header: header}
	d := t.Dialect
	if d == nil {
		d = &dialect.Dialect{}
	}
	path := cmp.Or(d.Publish, "/publish?channel={channel}")
	switch frames := d.Publish == "" && d.PublishFrame != ""; {
	case override != "":
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
		if _, own, _ := strings.Cut(rest, "/"); own != "" || d.Publish == "" { // otherwise it is only another address
			path = "/" + own
		}
		if channels > 1 && !strings.Contains(path+d.PublishBody+d.PublishFrame, "{channel") {
			return fault("must have {channel} where each of the %d channels is named", channels)
		}
	case frames:
		path, p.WebSocket = t.Path, true
	case d.Publish == "" && !t.Peal():
		return p, fmt.Errorf("target %q is not a Peal server: name the address to publish to with --publish", t.Text)
	case d.Publish == "":
		_, query, _ := strings.Cut(t.Path, "?")
		if v, _ := url.ParseQuery(query); v.Has("token") { // for a proxy in front of it
			path = withParameter(path, "token="+url.QueryEscape(v.Get("token")))
		}
	}
	channel := func(stream int) string { return t.channel(channels, stream) }
	if t.Dialect != nil {
		err = t.compose(&p, path, channel)
		return p, err
	}
	p.Path = func(stream int) string {
		return strings.ReplaceAll(path, "{channel}", url.QueryEscape(channel(stream)))
	}
	return p, nil
}
