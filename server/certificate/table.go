package certificate

import (
	"crypto/tls"
	"strings"
)

// table finds certificates by name. It is not changed once it is in use.
type table struct {
	// byName has the certificates of each name, in the order of their files; a wildcard
	// as *.example.org. Several have the same name if their keys are of different kinds.
	byName map[string][]*tls.Certificate

	first *tls.Certificate // for clients without a name, or with an unknown one; nil if there is none
}

// newTable makes the table of certificates with a Leaf; the first is the default.
func newTable(all []*tls.Certificate) *table {
	t := &table{byName: map[string][]*tls.Certificate{}}
	for _, c := range all {
		if t.first == nil {
			t.first = c
		}
		for _, n := range c.Leaf.DNSNames {
			n = strings.ToLower(n)
			t.byName[n] = append(t.byName[n], c)
		}
	}
	return t
}

// named are the certificates of a server name, nil if there is none. A wildcard stands
// for one label (RFC 9525 §6.3).
func (t *table) named(server string) []*tls.Certificate {
	server = strings.TrimSuffix(strings.ToLower(server), ".")
	if server == "" {
		return nil
	}
	if list := t.byName[server]; list != nil {
		return list
	}
	if label, rest, ok := strings.Cut(server, "."); ok && label != "" && label != "*" {
		return t.byName["*."+rest]
	}
	return nil
}

// find is the certificate for a handshake, nil if there is none at all.
func (t *table) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	list := t.named(hello.ServerName)
	if list == nil && t.first != nil && len(t.first.Leaf.DNSNames) > 0 {
		list = t.named(t.first.Leaf.DNSNames[0]) // also those of other kinds of keys
	}
	if len(list) > 1 {
		// A client that goes by IP address or by an unknown name is to get a kind of key
		// that it knows.
		as := *hello
		as.ServerName = ""
		for _, c := range list {
			if as.SupportsCertificate(c) == nil {
				return c
			}
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return t.first
}
