package certificate_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/scripts/leak"
	"peal/scripts/testca"
	"peal/server/certificate"
)

const patience = 2 * time.Minute

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) count(part string) int { return strings.Count(l.String(), part) }

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// open opens a Store, with the log that it writes.
func open(t *testing.T, c certificate.Config) (*certificate.Store, *lines) {
	t.Helper()
	said := new(lines)
	if c.Log == nil {
		c.Log = said.logger()
	}
	s, err := certificate.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s, said
}

// shake makes a handshake with the store's config, and sends a byte behind it, so that a
// client has its tickets. The error is the client's.
func shake(t *testing.T, s *certificate.Store, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	deadline := time.Now().Add(patience)
	_ = ours.SetDeadline(deadline) // pipes have them
	_ = theirs.SetDeadline(deadline)
	ended := make(chan struct{})
	go func() { // ends with the pipe
		defer close(ended)
		c := tls.Server(theirs, s.TLS())
		if c.Handshake() == nil {
			_, _ = c.Write([]byte{1})
			_, _ = io.Copy(io.Discard, c) // until the client has gone
		}
		c.Close()
	}()
	c := tls.Client(ours, client)
	_, err := io.ReadFull(c, make([]byte, 1))
	state := c.ConnectionState()
	c.Close()
	ours.Close()
	<-ended
	return state, err
}

// presented is the serial number of the certificate for a server name.
func presented(t *testing.T, s *certificate.Store, server string, set ...func(*tls.Config)) string {
	t.Helper()
	c := &tls.Config{ServerName: server, InsecureSkipVerify: true}
	for _, f := range set {
		f(c)
	}
	state, err := shake(t, s, c)
	if err != nil {
		t.Fatalf("handshake for %q: %v", server, err)
	}
	return state.PeerCertificates[0].SerialNumber.String()
}

func serialOf(t *testing.T, p certificate.Pair) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

func pair(ca *testca.CA, dir, name string, leaf testca.Leaf) certificate.Pair {
	cert, key := ca.Files(dir, name, leaf)
	return certificate.Pair{Cert: cert, Key: key}
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func in(dir, name string) string { return filepath.Join(dir, name) }
