package auth

// IsCrossSite reports whether the script or a form of a page of another site sent the
// request, as far as a browser says: a page whose origin is neither that of the
// server itself nor one that the operator trusts. It is stricter than Judge, which
// accepts all pages with Open. A request without these headers is not a browser's.
func (p *Policy) IsCrossSite(r Request) bool {
	if r.Origin != nil {
		return !p.Trusts(r.Origin) && !isOriginOf(r.Origin, r)
	}
	return isForeignSite(r.Site)
}

// isForeignSite reports whether Sec-Fetch-Site names a page of another origin as the
// cause of a request, and not a page of the server itself or the user's own action.
func isForeignSite(site []byte) bool {
	return site != nil && string(site) != "same-origin" && string(site) != "none"
}

// IsOwn reports whether a page that may act for its user caused the request: one of an
// origin that the operator trusts or of the server itself, or, where the browser sends
// no Origin, one of the server itself by Sec-Fetch-Site or by the Referer. Cookies
// count for such requests only, because browsers send them with those of all sites.
func (p *Policy) IsOwn(r Request, referer []byte) bool {
	switch {
	case string(r.Site) == "cross-site":
		return false
	case r.Origin != nil:
		return p.Trusts(r.Origin) || isOriginOf(r.Origin, r)
	case r.Site != nil:
		return string(r.Site) == "same-origin"
	}
	return isOriginOf(originOf(referer), r)
}

// isOriginOf reports whether a page of that origin may come from the host that the
// request is for. Of a request over TLS it must be a page of https. Of others the scheme
// is not known: a proxy may have removed TLS.
func isOriginOf(origin []byte, r Request) bool {
	standard, host := ":443", r.Host
	rest, ok := cutPrefixFold(origin, "https://")
	if !ok && !r.HTTPS {
		rest, ok = cutPrefixFold(origin, "http://")
		standard = ":80"
	}
	if !ok || len(rest) == 0 || len(host) == 0 {
		return false
	}
	rest, host = cutSuffix(rest, standard), cutSuffix(host, standard)
	if len(rest) != len(host) {
		return false
	}
	for i := range rest {
		if lower(rest[i]) != lower(host[i]) {
			return false
		}
	}
	return true
}

// originOf is the scheme, host and port of a URL, nil if it has none.
func originOf(url []byte) []byte {
	slashes := 0
	for i, c := range url {
		switch {
		case c == '/' || c == '?' || c == '#':
			if slashes++; slashes == 3 || c != '/' {
				return url[:i]
			}
		case c == '@':
			return nil // no browser sends a user in a Referer
		}
	}
	if slashes < 2 {
		return nil
	}
	return url
}

func cutSuffix(b []byte, suffix string) []byte {
	if n := len(b) - len(suffix); n >= 0 && string(b[n:]) == suffix {
		return b[:n]
	}
	return b
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
