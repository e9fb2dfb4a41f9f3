package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"peal/server"
)

// welcome prints where the server listens and what to do next, with addresses
// that can be pasted. needsKey: publishing takes a key, which the reader must have.
func welcome(w io.Writer, endpoints []server.Endpoint, limits server.Limits, needsKey bool) {
	curl := "curl"
	if needsKey {
		curl = `curl -H "Authorization: Bearer $PEAL_KEY"`
	}
	fmt.Fprintf(w, "Peal listens on %s\n", strings.Join(written(addrsOf(endpoints)), ", "))
	defer fmt.Fprintf(w, "Limits:       %d connections (%d open files), %d event loops\n", limits.Connections, limits.Descriptors, limits.Loops)
	for _, e := range endpoints {
		at, err := netip.ParseAddrPort(e.Addr.String())
		if e.Addr.Network() == "unix" || err != nil {
			continue
		}
		page := pageURL(at, e.Secure)
		fmt.Fprintf(w, "Page:         %s/\n", page)
		if far := farURL(at, e.Secure); far != "" {
			fmt.Fprintf(w, "Elsewhere:    %s/\n", far)
		}
		fmt.Fprintf(w, "Publish:      %s -d 'hello' %s/publish\n", curl, page)
		return
	}
	for _, e := range endpoints {
		if e.Addr.Network() == "unix" {
			fmt.Fprintf(w, "Publish:      %s --unix-socket '%s' -d 'hello' http://localhost/publish\n", curl, e.Addr)
			return
		}
	}
}

// page is the URL of the server's page on this machine, "" without a TCP address.
func page(endpoints []server.Endpoint) string {
	for _, e := range endpoints {
		if at, err := netip.ParseAddrPort(e.Addr.String()); err == nil && e.Addr.Network() != "unix" {
			return pageURL(at, e.Secure) + "/"
		}
	}
	return ""
}

func addrsOf(endpoints []server.Endpoint) (addrs []net.Addr) {
	for _, e := range endpoints {
		addrs = append(addrs, e.Addr)
	}
	return addrs
}

// written are addresses in the form of --listen.
func written(addrs []net.Addr) []string {
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
		if a.Network() == "unix" {
			all[i] = "unix:" + all[i]
		}
	}
	return all
}

// pageURL is the URL of at on this machine: no client can connect to 0.0.0.0.
func pageURL(at netip.AddrPort, secure bool) string {
	if at.Addr().IsUnspecified() {
		return fmt.Sprintf("%slocalhost:%d", scheme(secure), at.Port())
	}
	return scheme(secure) + at.String()
}

func scheme(secure bool) string {
	if secure {
		return "https://"
	}
	return "http://"
}

// farURL is the URL of a server that listens on every address for other machines,
// with the first address of this machine that is not local to it; "" if at is a
// single address, or if there is none.
func farURL(at netip.AddrPort, secure bool) string {
	if !at.Addr().IsUnspecified() {
		return ""
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "" // the line is optional
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return scheme(secure) + netip.AddrPortFrom(p.Addr(), at.Port()).String()
		}
	}
	return ""
}
