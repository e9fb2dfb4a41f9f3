package hostile

import (
	"context"
	"crypto/tls"
)

// encryptedKinds need a server with TLS.
var encryptedKinds = []Kind{
	{"slow-tls", (*client).slowTLS},
	{"tls-handshakes", (*client).tlsHandshakes},
}

// slowTLS begins handshakes, and sends a byte of the ClientHello a second.
func (c *client) slowTLS(ctx context.Context) error {
	hello := []byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3} // a record of 512 bytes with a ClientHello of 508
	return c.drip(ctx, sends(hello, 1))
}

// tlsHandshakes shakes hands, without resuming, and hangs up.
func (c *client) tlsHandshakes(ctx context.Context) error {
	for ctx.Err() == nil {
		w, err := c.dial(ctx, 0)
		if err != nil {
			return err
		}
		err = tls.Client(countedConn{w}, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) // it wants nothing but the handshake
		w.hangUp()
		if err != nil {
			return err
		}
		count(&c.met.Requests, 1)
		pause(ctx, c.Pause)
	}
	return nil
}

// countedConn counts what crypto/tls sends and reads.
type countedConn struct{ *wire }

func (c countedConn) Read(b []byte) (int, error) { return counted{c.wire}.Read(b) }

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	count(&c.c.met.Sent, n)
	return n, err
}
