// Package testacme runs an ACME authority for tests: Pebble, the small one of the
// makers of Let's Encrypt, on loopback, with a name server for which all names are
// 127.0.0.1.
package testacme

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"peal/scripts/testca"
)

const patience = 30 * time.Second

// ErrLacking: Pebble cannot be built here, because the module proxy cannot be reached.
var ErrLacking = errors.New("pebble cannot be built")

// Authority is one that runs.
type Authority struct {
	Directory string         // URL
	CA        string         // file with the root of the connection to Directory
	Roots     *x509.CertPool // of the certificates that it grants
}

// Ports are where the authority looks for responses to its challenges.
type Ports struct{ HTTP, TLS int }

// Start builds and starts an authority, which the end of the test ends. validity is the
// life of its certificates.
func Start(t testing.TB, ports Ports, validity time.Duration) (*Authority, error) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "pebble")
	_, here, _, _ := runtime.Caller(0)
	build := exec.Command("go", "build", "-o", program, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir = filepath.Join(filepath.Dir(here), "pebble")
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly") // the race detector of a caller is not for it
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %w: %s", ErrLacking, err, out)
	}
	ca := testca.New(t, "Pebble's own")
	cert, key := ca.Files(dir, "server", testca.Leaf{})
	listen, manage := freeAddress(t), freeAddress(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": manage, "certificate": cert, "privateKey": key,
		"httpPort": ports.HTTP, "tlsPort": ports.TLS, "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "test", "validityPeriod": int(validity.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-config", file, "-dnsserver", nameServer(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the name server ends
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed: nothing to learn from it
		if t.Failed() {
			t.Logf("pebble said: %s", said.Bytes())
		}
	})
	a := &Authority{Directory: "https://" + listen + "/dir", CA: ca.File(dir, "ca"), Roots: x509.NewCertPool()}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool}, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: patience}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		response, err := client.Get("https://" + manage + "/roots/0")
		if err == nil {
			root, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil && a.Roots.AppendCertsFromPEM(root) {
				return a, nil
			}
		}
		if time.Now().After(end) {
			t.Fatalf("pebble does not respond: %v", err)
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// nameServer says that every name is 127.0.0.1, until the end of the test. Pebble asks
// over TCP.
func nameServer(t testing.TB) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	all.Go(func() { // ends with ln
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { // ends when it is asked nothing more
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				for respond(c) == nil {
				}
			})
		}
	})
	return ln.Addr().String()
}

// respond answers one query, before which its length stands.
func respond(c net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, query); err != nil {
		return err
	}
	out, err := resolve(query)
	if err == nil {
		_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
	}
	return err
}

func resolve(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) == 0 {
		return nil, errors.New("not a query")
	}
	q := m.Questions[0]
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true}, Questions: m.Questions[:1]}
	if q.Type == dnsmessage.TypeA {
		answer.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	return answer.Pack()
}
