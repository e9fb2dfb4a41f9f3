package secure

import "errors"

// RFC 8446 §5.1: type, version, length.
const (
	recordHeader  = 5
	maxPlaintext  = 1 << 14
	maxCiphertext = maxPlaintext + 2048 // of TLS 1.2; 1.3 allows 256
	maxRecord     = recordHeader + maxCiphertext

	typeAlert       = 21
	typeHandshake   = 22
	typeClientHello = 1
)

// maxHello is how large a ClientHello may be. Clients send 200 to 2,000 bytes; crypto/tls
// would take 65,536.
const maxHello = 16 << 10

var (
	errNotTLS   = errors.New("tls: not a ClientHello")
	errOversize = errors.New("tls: handshake messages are too large")
)

// recordSize is the size of the record at the front of b, and whether b has all of it.
// Of a record that is too long, or no record, the header is all that crypto/tls needs.
func recordSize(b []byte) (n int, whole bool) {
	if len(b) < recordHeader {
		return 0, false
	}
	n = int(b[3])<<8 | int(b[4])
	if n > maxCiphertext || b[1] != 3 {
		return recordHeader, true
	}
	return recordHeader + n, len(b) >= recordHeader+n
}

// hello follows a ClientHello while it comes, by headers only: the message itself is
// crypto/tls's. It may lie in several records (RFC 8446 §5.1).
type hello struct {
	at   int     // of the next record's header
	have int     // bytes of the message in the records before
	head [4]byte // type and length of the message
}

// advance looks at what has come, which begins as it did in the calls before, and
// reports whether the ClientHello is complete. An error is final.
func (h *hello) advance(b []byte) (whole bool, err error) {
	for len(b) > h.at {
		r := b[h.at:]
		if r[0] != typeHandshake || len(r) > 1 && r[1] != 3 {
			return false, errNotTLS
		}
		if len(r) < recordHeader {
			return false, nil
		}
		n := int(r[3])<<8 | int(r[4])
		if n == 0 || n > maxPlaintext {
			return false, errNotTLS
		}
		body := r[recordHeader:min(len(r), recordHeader+n)]
		if h.have < len(h.head) {
			copy(h.head[h.have:], body)
		}
		have := h.have + len(body)
		if have > 0 && h.head[0] != typeClientHello {
			return false, errNotTLS
		}
		if have >= len(h.head) {
			need := len(h.head) + (int(h.head[1])<<16 | int(h.head[2])<<8 | int(h.head[3]))
			if need > maxHello {
				return false, errOversize
			}
			// The record that ends it must be here to its end.
			if have >= need && len(body) == n {
				return true, nil
			}
		}
		if len(body) < n {
			return false, nil
		}
		h.at += recordHeader + n
		h.have = have
	}
	return false, nil
}

// httpMethods begin requests of clients that do not know that this port speaks TLS.
var httpMethods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI "}

// isHTTP reports whether b is the beginning of an HTTP request; maybe, whether it could
// become one.
func isHTTP(b []byte) (is, maybe bool) {
	for _, m := range httpMethods {
		n := min(len(b), len(m))
		if string(b[:n]) == m[:n] {
			return n == len(m), true
		}
	}
	return false, false
}
