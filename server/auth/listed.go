package auth

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// MostOrigins is how many origins a list may have: each request with an Origin is
// compared with all of them.
const MostOrigins = 1000

// null is what browsers send instead of the origin of a sandboxed frame, a local
// file, or a request that was redirected from another site.
const null = "null"

// matches reports whether origin is the one that an item of the list names, or one
// of those if the item has a wildcard: https://*.example.org stands for every host
// below example.org, with any number of labels in place of the star, and not for
// example.org itself. Scheme and port are those of the item. It does not allocate.
func matches(item string, origin []byte) bool {
	star := len("https://")
	switch {
	case len(item) <= star:
		return string(origin) == item
	case item[star] == '*':
	case item[star-1] == '*':
		star--
	default:
		return string(origin) == item
	}
	scheme, behind := item[:star], item[star+1:]
	cut := len(origin) - len(behind)
	return cut > len(scheme) && string(origin[cut:]) == behind && string(origin[:len(scheme)]) == scheme && isLabels(origin[len(scheme):cut])
}

// isLabels reports whether b is one or more labels of a host name in lower case.
func isLabels(b []byte) bool {
	label := 0
	for _, c := range b {
		switch {
		case c == '.' && label == 0, !isLowerNameByte(c):
			return false
		case c == '.':
			label = 0
		default:
			label++
		}
	}
	return label > 0
}

func isLowerNameByte(c byte) bool { return isNameByte(c) && (c < 'A' || c > 'Z') }

// CheckOrigin returns nil if text can be an item of the list: an origin as browsers
// write it, one with a wildcard, or null. Otherwise the error says what to change.
func CheckOrigin(text string) error {
	if text == null {
		return nil
	}
	if text == "*" {
		return errors.New("is every origin: name the origins, as in https://app.example or https://*.example.org (to admit every origin, without cookies, use --open with --auth open)")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return errors.New("must begin with https:// or http:// in lower case, as in https://app.example")
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return fmt.Errorf("has a path, and an origin has none: remove %q", rest[end:])
	}
	if strings.Contains(rest, "@") {
		return errors.New("has a user, and an origin has none: remove everything up to the @")
	}
	if lower := strings.ToLower(rest); lower != rest {
		return fmt.Errorf("has upper case, and browsers send the host in lower case: write %s://%s", scheme, lower)
	}
	host, ok := splitHost([]byte(rest))
	if !ok {
		return errors.New("must have a host, and behind the last colon a port up to 65535, as in http://10.0.0.7:3000")
	}
	switch port := rest[len(host):]; {
	case port == ":", port == ":443" && scheme == "https", port == ":80" && scheme == "http":
		return fmt.Errorf("has the port of its scheme, and browsers omit it: write %s://%s", scheme, host)
	case strings.HasPrefix(port, ":0"):
		return errors.New("has a port that begins with 0, and browsers write none like that: remove the 0")
	}
	if strings.Contains(string(host), "*") {
		return checkWildcard(string(host))
	}
	if !isHostName(host) {
		return errors.New("has a host that browsers never send: a name has labels of a-z, 0-9, - and _ with a dot between them (write other letters as in xn--bcher-kva.example), and an IPv6 address has brackets")
	}
	return nil
}

// checkWildcard checks a host with a star in it.
func checkWildcard(host string) error {
	behind, ok := strings.CutPrefix(host, "*.")
	switch {
	case !ok || strings.Contains(behind, "*"):
		return errors.New("may have one wildcard, in place of the first labels of the host, as in https://*.example.org")
	case isIP(behind):
		return errors.New("has a wildcard before an IP address: name the address without it")
	case !isLabels([]byte(behind)):
		return errors.New("has a host that browsers never send: behind *. must be labels of a-z, 0-9, - and _ with a dot between them, as in https://*.example.org")
	case !strings.Contains(behind, "."):
		return fmt.Errorf("would admit the pages of everybody with a name below .%s: the wildcard needs at least two labels behind it, as in https://*.example.org", behind)
	}
	return nil
}

func isIP(host string) bool {
	return net.ParseIP(host) != nil || strings.HasPrefix(host, "[") || host != "" && strings.Trim(host, "0123456789.") == ""
}
