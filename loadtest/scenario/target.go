package scenario

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"peal/loadtest"
)

// Target is a server and how subscribers reach it.
type Target struct {
	Text      string
	Transport loadtest.Transport
	Protocol  string          // subprotocol of the WebSocket
	Format    loadtest.Format // "": the server's choice
	Peer      string          // another server's dialect; "": none
	Addr      string          // IPv4 address and port
	Host      string          // as it was written
	Path      string          // with the query, without the channel
	Channel   string          // "": none is named
	Named     bool            // the channel is a parameter of the request
	publish   string          // where a peer publishes
	secret    string          // what a peer's publications are signed with
}

// schemes are what a target can begin with.
var schemes = []struct {
	name      string
	transport loadtest.Transport
	protocol  string
	path      string // if there is none
	peer      string
	publish   string // the peer's path to publish to, on the same address; "": not known
}{
	{"ws", loadtest.WebSocket, "", "", "", ""},
	{"peal+ws", loadtest.WebSocket, "peal.v1", "/ws", "", ""},
	{"sse+http", loadtest.SSE, "", "/sse", "", ""},
	{"poll+http", loadtest.Poll, "", "/poll", "", ""},
	{"centrifugo+ws", loadtest.WebSocket, "", "/connection/websocket", "centrifugo", "/api/publish"},
	{"mercure+http", loadtest.SSE, "", "/.well-known/mercure", "mercure", "/.well-known/mercure"},
	{"nchan+ws", loadtest.WebSocket, "", "/sub", "nchan", "/pub"},
	{"pusher+ws", loadtest.WebSocket, "", "", "pusher", ""},
	{"nchan+http", loadtest.SSE, "", "/sub", "nchan", "/pub"},
}

// DefaultTarget is a Peal on this machine.
const DefaultTarget = "ws://127.0.0.1:8080/ws?channel=bench"

// ParseTarget reads a target and resolves its host's name.
func ParseTarget(ctx context.Context, text string) (Target, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	i := -1
	for k, s := range schemes {
		if ok && s.name == scheme {
			i = k
		}
	}
	if i < 0 {
		if strings.HasSuffix(scheme, "s") && slices.ContainsFunc([]string{"wss", "sse+https", "poll+https", "peal+wss"}, func(s string) bool { return s == scheme }) {
			return Target{}, fmt.Errorf("target %q: TLS is not spoken here; measure behind the proxy that ends it, or the proxy's plain listener", text)
		}
		return Target{}, fmt.Errorf("target %q: must begin with %s", text, strings.Join(schemeNames(), ", "))
	}
	u, err := url.Parse("http://" + rest)
	if err != nil || u.Hostname() == "" {
		return Target{}, fmt.Errorf("target %q: must be like %s", text, DefaultTarget)
	}
	t := Target{Text: text, Peer: schemes[i].peer, publish: schemes[i].publish, Transport: schemes[i].transport, Protocol: schemes[i].protocol, Host: u.Host, Path: u.EscapedPath()}
	if t.Path == "" || t.Path == "/" {
		t.Path = schemes[i].path
	}
	if t.Path == "" {
		t.Path = "/"
	}
	query := u.Query()
	if channels := query["channel"]; len(channels) > 1 {
		return Target{}, fmt.Errorf("target %q: one channel; --channels makes more of it", text)
	} else if len(channels) == 1 {
		t.Channel, t.Named = channels[0], true
		query.Del("channel")
	}
	if t.Protocol != "" {
		t.Format = loadtest.JSON
	}
	switch f := loadtest.Format(query.Get("format")); f {
	case loadtest.JSON, loadtest.Raw:
		t.Format = f
		query.Del("format")
	case "":
	default:
		return Target{}, fmt.Errorf("target %q: format is json or raw", text)
	}
	if t.Peer == "pusher" {
		if err := t.pusher(query); err != nil {
			return Target{}, err
		}
	}
	if len(query) > 0 {
		t.Path += "?" + query.Encode()
	}
	t.Addr, err = resolve(ctx, u)
	if err != nil {
		return Target{}, fmt.Errorf("target %q: %w", text, err)
	}
	return t, nil
}

func schemeNames() []string {
	var names []string
	for _, s := range schemes {
		names = append(names, s.name+"://")
	}
	return names
}

// resolve returns the IPv4 address and port of u.
func resolve(ctx context.Context, u *url.URL) (string, error) {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("the port %q is none", port)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", u.Hostname())
	if err != nil {
		return "", fmt.Errorf("no IPv4 address of %s: %w", u.Hostname(), err)
	}
	return net.JoinHostPort(ips[0].Unmap().String(), port), nil
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
	return t.Peer == "" && (path == "/ws" || path == "/sse" || path == "/poll" || path == "/" && t.Transport == loadtest.WebSocket)
}

// Resumes reports whether subscribers that come back say where they were: a
// Peal's with its cursor, those of event streams with their last event's id,
// Centrifugo's with epoch and offset.
func (t *Target) Resumes() bool {
	return t.Peal() || t.Transport == loadtest.SSE || t.Peer == "centrifugo"
}

// With returns the target over another transport, at Peal's path for it.
func (t Target) With(transport loadtest.Transport) Target {
	t.Transport, t.Protocol, t.Format, t.Path = transport, "", "", "/"+string(transport)
	return t
}

// spec describes the target's subscribers.
func (t *Target) spec(channels, connections int) loadtest.Spec {
	s := loadtest.Spec{Addr: t.Addr, Host: t.Host, Transport: t.Transport, Protocol: t.Protocol, Format: t.Format, Path: t.Path, Connections: connections}
	if t.Peer != "" {
		s.Peer, s.Channel = t.Peer, t.channel(1, 0)
	}
	switch {
	case channels > 1:
		s.Channels, s.Stride, s.Around, s.Prefix = 1, 1, channels, t.prefix()
	case t.Named && t.Peer == "":
		s.Path += separator(s.Path) + "channel=" + url.QueryEscape(t.Channel)
	}
	return s
}

// prefix is what the names of many channels begin with.
func (t *Target) prefix() string {
	if t.Channel == "" {
		return "bench-"
	}
	return t.Channel + "-"
}

// channel is the name of a stream's channel.
func (t *Target) channel(channels, stream int) string {
	if channels > 1 {
		return loadtest.ChannelName(t.prefix(), stream)
	}
	if !t.Named {
		return "main" // Peal's, where none is named
	}
	return t.Channel
}

// publishTarget is where to publish for the target: override, or what follows
// from a Peal's address. In an override, {channel} stands for the channel.
func (t *Target) publishTarget(ctx context.Context, override string, channels int) (loadtest.PublishTarget, error) {
	p := loadtest.PublishTarget{Addr: t.Addr, Host: t.Host, Streams: channels}
	path := "/publish?channel={channel}"
	if override != "" {
		scheme, rest, _ := strings.Cut(override, "://")
		u, err := url.Parse("http://" + rest)
		if scheme != "http" && scheme != "ws" || err != nil || u.Hostname() == "" {
			return p, fmt.Errorf("where to publish, %q: must be like http://127.0.0.1:8080/publish?channel={channel}, or begin with ws://", override)
		}
		if p.Addr, err = resolve(ctx, u); err != nil {
			return p, fmt.Errorf("where to publish, %q: %w", override, err)
		}
		_, path, _ = strings.Cut(rest, "/")
		p.Host, p.WebSocket, path = u.Host, scheme == "ws", "/"+path
		if path == "/" && t.publish != "" {
			path = t.publish // only another address
		}
		if channels > 1 && t.Peer == "" && !strings.Contains(path, "{channel}") {
			return p, fmt.Errorf("where to publish, %q: {channel} must stand where each of the %d channels is named", override, channels)
		}
	} else if t.publish != "" {
		path = t.publish
	} else if !t.Peal() {
		return p, fmt.Errorf("target %q is no Peal's: say where to publish with --publish", t.Text)
	}
	peer, err := loadtest.PeerNamed(t.Peer, t.secret)
	if err != nil {
		return p, err
	}
	p.Peer, p.Channel = peer, func(stream int) string { return t.channel(channels, stream) }
	p.Path = func(stream int) string {
		return strings.ReplaceAll(path, "{channel}", url.QueryEscape(t.channel(channels, stream)))
	}
	return p, nil
}

func separator(path string) string {
	if strings.Contains(path, "?") {
		return "&"
	}
	return "?"
}
