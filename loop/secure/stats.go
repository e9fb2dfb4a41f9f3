package secure

import "sync/atomic"

// Reason is why a handshake failed.
type Reason uint8

const (
	ReasonTimeout     Reason = iota // not done in time
	ReasonGone                      // the client has gone
	ReasonPlain                     // the client speaks HTTP without TLS
	ReasonNotTLS                    // something else that is not TLS, or not a ClientHello
	ReasonOversize                  // the client's messages are too large
	ReasonProtocol                  // crypto/tls refused it: version, cipher suites, a violation
	ReasonAlert                     // the client refused the server: its certificate, usually
	ReasonCertificate               // the client's certificate is missing or not valid
	ReasonRefused                   // too many clients wait
	ReasonMemory                    // too much input is kept
	Reasons
)

func (r Reason) String() string {
	return [Reasons]string{"timeout", "gone", "plain_http", "not_tls", "oversize", "protocol", "alert", "client_certificate", "refused", "memory"}[r]
}

// Stats are counters since the start, and gauges of now.
type Stats struct {
	Full     uint64          // handshakes done with a certificate
	Resumed  uint64          // handshakes done with a session ticket
	TLS12    uint64          // of both
	TLS13    uint64          // of both
	Failed   [Reasons]uint64 // handshakes
	Broken   uint64          // connections closed after their handshake, for a violation of the protocol
	Stalled  uint64          // connections closed after their handshake, because a record was not complete in time
	Evicted  uint64          // connections closed after their handshake, because too much input or output was kept
	Partial  uint64          // records of which the socket took only a part
	Open     int             // TLS connections, with or without a finished handshake
	Waiting  int             // clients that wait for a goroutine
	Running  int             // unfinished handshakes with a goroutine
	Kept     int             // bytes of sealed records that sockets have not taken
	Input    int             // bytes that clients have sent and that cannot be decrypted yet
	Deferred uint64          // times that a client had to wait for a goroutine
}

// counts are the Layer's own counters: handshakes and full sockets are rare.
type counts struct {
	full, resumed, tls12, tls13     atomic.Uint64
	failed                          [Reasons]atomic.Uint64
	broken, stalled, evicted, parts atomic.Uint64
	open, kept, input               atomic.Int64
}

// Stats may be called by any goroutine.
func (l *Layer) Stats() Stats {
	c := &l.counts
	s := Stats{
		Full: c.full.Load(), Resumed: c.resumed.Load(), TLS12: c.tls12.Load(), TLS13: c.tls13.Load(),
		Broken: c.broken.Load(), Stalled: c.stalled.Load(), Evicted: c.evicted.Load(), Partial: c.parts.Load(),
		Open: int(c.open.Load()), Kept: int(c.kept.Load()), Input: int(c.input.Load()),
	}
	for r := range s.Failed {
		s.Failed[r] = c.failed[r].Load()
	}
	s.Waiting, s.Running, s.Deferred = l.queue.counts()
	return s
}
