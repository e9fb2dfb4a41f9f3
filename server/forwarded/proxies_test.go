package forwarded_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"peal/server/forwarded"
)

func TestWhatIsIgnoredHasOneLine(t *testing.T) {
	var lines strings.Builder
	p := forwarded.NewProxies(parse(t, proxies...), slog.New(slog.NewTextHandler(&lines, nil)))
	for range 1000 {
		p.Ignore(netip.MustParseAddr("192.0.2.7"), "X-Forwarded-For")
	}
	p.Ignore(netip.Addr{}, "Forwarded")
	if n := strings.Count(lines.String(), "\n"); n != 1 || !strings.Contains(lines.String(), "client=192.0.2.7 ") || p.Ignored() != 1001 {
		t.Errorf("%d lines, %d ignored: %s", n, p.Ignored(), lines.String())
	}
	lines.Reset()
	p.Use(parse(t, "unix"))
	p.Ignore(netip.Addr{}, "Forwarded")
	if !strings.Contains(lines.String(), `client="unix socket"`) || !strings.Contains(lines.String(), "entry=unix") {
		t.Errorf("after a reload: %q", lines.String())
	}
	if !p.Has(netip.Addr{}) || p.Has(netip.MustParseAddr("10.0.0.1")) {
		t.Error("the old list still holds")
	}
}

func TestNoProxies(t *testing.T) {
	var p *forwarded.Proxies
	p.Ignore(netip.Addr{}, "")
	if c, err := p.Read(head("X-Forwarded-For: 192.0.2.7")); c != (forwarded.Client{}) || err != nil || p.Has(netip.Addr{}) {
		t.Errorf("%+v, %v", c, err)
	}
}
