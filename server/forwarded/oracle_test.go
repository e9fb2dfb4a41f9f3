package forwarded_test

import (
	"net/netip"
	"regexp"
	"strings"

	"peal/server/forwarded"
)

// The oracle reads a head as the documentation describes it, without regard to cost:
// all lines of a kind become one list, an element is the shortest end of the list that
// has the form of one, and each network is asked in turn.

type oracle struct {
	networks []netip.Prefix
	unix     bool
}

func newOracle(list []string) (o oracle) {
	for _, text := range list {
		switch text {
		case "unix":
			o.unix = true
		case "loopback":
			o.networks = append(o.networks, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
		default:
			p, err := netip.ParsePrefix(text)
			if err != nil {
				a := netip.MustParseAddr(text)
				p = netip.PrefixFrom(a, a.BitLen())
			}
			o.networks = append(o.networks, p)
		}
	}
	return o
}

func (o oracle) has(a netip.Addr) bool {
	if !a.IsValid() {
		return o.unix
	}
	for _, n := range o.networks {
		if n.Contains(a.WithZone("")) || n.Contains(a.WithZone("").Unmap()) || n.Addr().Is4In6() && n.Contains(netip.AddrFrom16(a.As16())) {
			return true
		}
	}
	return false
}

var (
	token       = "[0-9A-Za-z!#$%&'*+.^_`|~-]+"
	pair        = token + `=(?:` + token + `|"(?s:[^"\\]|\\.)*")`
	elementForm = regexp.MustCompile(`^[ \t;]*(?:` + pair + `(?:[ \t]*;[ \t;]*|$))*(?:` + pair + `)?[ \t;]*$`)
	pairForm    = regexp.MustCompile(`(` + token + `)=(` + token + `|"(?s:[^"\\]|\\.)*")`)
	quadForm    = regexp.MustCompile(`^([0-9.]+)(?::([0-9]{1,5}|_[0-9A-Za-z._-]+))?$`)
	bracketForm = regexp.MustCompile(`^\[([^\]]*:[^\]]*)\](?::([0-9]{1,5}|_[0-9A-Za-z._-]+))?$`)
)

func (o oracle) read(head []byte) (c forwarded.Client, err error) {
	x, xNamed := o.search(values(head, "x-forwarded-for"), func(list string) (rest, node string, https, names, ok bool) {
		i := strings.LastIndexByte(list, ',')
		return list[:max(i, 0)], strings.Trim(strings.Trim(list[i+1:], " \t"), `"`), false, true, true
	}, true)
	f, fNamed := o.search(values(head, "forwarded"), lastElement, false)
	if xNamed && fNamed && x.Addr.Addr() != f.Addr.Addr() {
		return c, forwarded.ErrConflict
	}
	c = f
	if !fNamed {
		c.Addr = x.Addr
	}
	if all := values(head, "x-forwarded-proto"); len(all) > 0 {
		list := strings.Split(all[len(all)-1], ",")
		last := strings.ToLower(strings.Trim(list[len(list)-1], " \t"))
		c.HTTPS = last == "https" || last == "wss"
	}
	return c, nil
}

// values are those of a header, in order.
func values(head []byte, name string) (all []string) {
	for line := range strings.SplitSeq(string(head), "\n") {
		line = strings.TrimRight(line, "\r")
		if n, value, ok := strings.Cut(line, ":"); ok && strings.ToLower(n) == name && isASCII(n) {
			all = append(all, value)
		}
	}
	return all
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

func (o oracle) search(lines []string, last func(list string) (rest, node string, https, names, ok bool), bare bool) (c forwarded.Client, named bool) {
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		list := lines[i]
		for list != "" {
			cut := strings.LastIndexByte(list, ',')
			if strings.Trim(list[cut+1:], " \t") == "" {
				list = list[:max(cut, 0)]
				continue
			}
			rest, node, https, names, ok := last(list)
			named = named || names || !ok
			if !ok {
				return c, named
			}
			c.HTTPS = https
			a, ok := address(node, bare)
			if !names || !ok {
				return c, named
			}
			c.Addr = a
			if hops++; hops == 32 || !o.has(a.Addr()) {
				return c, named
			}
			list = rest
		}
	}
	return c, named
}

func lastElement(list string) (rest, node string, https, names, ok bool) {
	for cut := strings.LastIndexByte(list, ','); ; cut = strings.LastIndexByte(list[:cut], ',') {
		if item := list[cut+1:]; elementForm.MatchString(item) {
			count := map[string]int{}
			for _, m := range pairForm.FindAllStringSubmatch(item, -1) {
				key, value := strings.ToLower(m[1]), m[2]
				if value[0] == '"' {
					value = value[1 : len(value)-1]
				}
				count[key]++
				switch key {
				case "for":
					node, names = value, true
				case "proto":
					https = strings.EqualFold(value, "https") || strings.EqualFold(value, "wss")
				}
			}
			ok = count["for"] <= 1 && count["proto"] <= 1
			return list[:max(cut, 0)], node, https && ok, names, ok
		}
		if cut < 0 {
			return "", "", false, false, false
		}
	}
}

func address(node string, bare bool) (a netip.AddrPort, ok bool) {
	host, port := "", ""
	if m := quadForm.FindStringSubmatch(node); m != nil {
		host, port = m[1], m[2]
	} else if m := bracketForm.FindStringSubmatch(node); m != nil {
		host, port = m[1], m[2]
	} else if bare && strings.Count(node, ":") > 1 {
		host = node
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.IsUnspecified() || len(node) > 53 {
		return a, false
	}
	n := 0
	if port != "" && port[0] != '_' {
		for _, c := range port {
			n = n*10 + int(c-'0')
		}
	}
	return netip.AddrPortFrom(ip.WithZone("").Unmap(), uint16(n)), n < 1<<16
}
