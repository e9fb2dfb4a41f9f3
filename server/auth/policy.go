package auth

import "peal/server/ascii"

// Policy decides which requests a listener accepts. Its zero value is for a server
// of one machine. All listeners use the same Judge. Fixed when it is first used.
type Policy struct {
	Open    bool     // any Host, and pages of any origin
	AnyHost bool     // any Host, and pages that the server itself has served: clients prove who they are
	Hosts   []string // names to accept beside IP addresses and loopback, in lower case, without port

	// Origins are the pages that may use the server beside those of this machine, as
	// browsers write them, in the form that [CheckOrigin] accepts: https://app.example,
	// https://*.example.org, null.
	Origins []string
}

// Request has the parts of a request that show its origin; absent ones are nil.
type Request struct {
	Host   []byte // of an absolute target, else the Host header
	Origin []byte // of the page whose script sent it
	Site   []byte // Sec-Fetch-Site: the relation of the page that caused it to this server
	HTTPS  bool   // it left the client over TLS; otherwise that is not known
}

// Verdict is the reason to refuse a request, or Welcome.
type Verdict uint8

const (
	Welcome       Verdict = iota
	ForeignHost           // for another host, or for a name that an attacker resolves to this server
	ForeignOrigin         // from the script of a page that may not use the server
	CrossSite             // a page of another site caused it without a script: an image, a link, a form
)

// Judge decides whether the request may be served. guarded is for requests that
// have an effect even if their response is not read: then Judge also refuses what
// another site's page makes a browser fetch without a script. Browsers send no
// Origin with an image or a link, but Sec-Fetch-Site (W3C Fetch Metadata, §2.4); a
// client that sends neither is not a browser, or is one from before 2023. It does
// not allocate.
func (p *Policy) Judge(r Request, guarded bool) Verdict {
	if r.Host != nil && !p.Open && !p.AnyHost && !HostAllowed(r.Host) && !p.hasHost(r.Host) {
		return ForeignHost
	}
	if r.Origin != nil {
		if p.admits(r) {
			return Welcome
		}
		return ForeignOrigin
	}
	if guarded && isForeignSite(r.Site) {
		return CrossSite
	}
	return Welcome
}

// admits reports whether pages of the origin of r may use the server.
func (p *Policy) admits(r Request) bool {
	if p.Open || p.Trusts(r.Origin) || p.AnyHost && isOriginOf(r.Origin, r) {
		return true
	}
	return string(r.Origin) == null && p.Lists(r.Origin)
}

// Trusts reports whether a page of that origin may use the server with its
// user's cookies: one of this machine, or one that the operator named. Open is
// not enough: a proxy in front of an open server may identify users by their
// cookies, and any other site could then read as those users. Nor is null, even if
// it is listed: every site can make pages of that origin.
func (p *Policy) Trusts(origin []byte) bool {
	if string(origin) == null {
		return false
	}
	for _, item := range p.Origins {
		if matches(item, origin) {
			return true
		}
	}
	return OriginAllowed(origin)
}

// Lists reports whether the list has that origin itself, and not by a wildcard only.
func (p *Policy) Lists(origin []byte) bool {
	for _, item := range p.Origins {
		if string(origin) == item {
			return true
		}
	}
	return false
}

func (p *Policy) hasHost(host []byte) bool {
	name, ok := splitHost(host)
	if n := len(name); ok && name[n-1] == '.' {
		name = name[:n-1]
	}
	for _, h := range p.Hosts {
		if ok && ascii.EqualFold(name, h) {
			return true
		}
	}
	return false
}

// IsHost reports whether text is a host name in lower case, without a port.
func IsHost(text string) bool { return len(text) > 0 && isHostName([]byte(text)) }

func isHostName(b []byte) bool {
	if isIPv6(b) {
		return true
	}
	for _, c := range b {
		if !isLowerNameByte(c) {
			return false
		}
	}
	return len(b) > 0 && b[0] != '.'
}
