package certificate

import (
	"crypto/tls"
	"fmt"
	"time"
)

// Stats are the numbers of a Store.
type Stats struct {
	Certificates []Expiry
	Reloads      uint64 // files that were read again and used
	Failed       uint64 // files that were read again and had a fault
	Granted      uint64 // certificates that ACME has granted, renewals included, or that were in its directory
	Refused      uint64 // attempts to obtain one that failed
}

// Expiry is when a certificate ends.
type Expiry struct {
	Name  string // the first of its names
	Until time.Time
}

// Add adds those of another Store.
func (st *Stats) Add(o Stats) {
	st.Certificates = append(st.Certificates, o.Certificates...)
	st.Reloads += o.Reloads
	st.Failed += o.Failed
	st.Granted += o.Granted
	st.Refused += o.Refused
}

// Stats may be called by any goroutine.
func (s *Store) Stats() (st Stats) {
	st.Reloads, st.Failed = s.reloads.Load(), s.failures.Load()
	for _, c := range s.certificates() {
		st.Certificates = append(st.Certificates, Expiry{name(c.Leaf), c.Leaf.NotAfter})
	}
	if s.issuer != nil {
		st.Granted, st.Refused = s.issuer.granted.Load(), s.issuer.refused.Load()
	}
	return st
}

// certificates are those in use.
func (s *Store) certificates() (all []*tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = append(all, s.files...)
	for _, d := range s.base.ACME.Domains {
		if c := s.granted[d]; c != nil {
			all = append(all, c)
		}
	}
	return all
}

// warnOfExpiry logs a line for each certificate that ends soon, or has ended.
func (s *Store) warnOfExpiry() {
	for _, c := range s.certificates() {
		if left := c.Leaf.NotAfter.Sub(s.base.Now()); left < soon(c.Leaf) {
			s.base.Log.Warn("certificate expires soon: renew it, or find out why ACME has not", "name", name(c.Leaf), "expires", c.Leaf.NotAfter.Format(time.DateTime), "left", fmt.Sprint(max(0, left).Round(time.Minute)))
		}
	}
}
