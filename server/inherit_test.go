package server_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/scripts/testca"
	"peal/server"
)

// Listeners of the parent process speak TLS like those of listen, or stay cleartext like
// those of listen-plain.
func TestInheritedListenersWithTLS(t *testing.T) {
	listener := func() (int, net.Addr) {
		fd, at, err := loop.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) }) // the server has a copy
		return fd, at
	}
	secure, secureAt := listener()
	plain, plainAt := listener()
	named, namedAt := listener()
	var c server.Config
	cert, key := testca.New(t, "Test").Files(t.TempDir(), "server", testca.Leaf{})
	c.TLS.Certs, c.TLS.Keys = []string{cert}, []string{key}
	c.Inherit, c.InheritPlain, c.ListenPlain = []int{secure, named}, []int{plain}, []string{namedAt.String()}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := map[string]bool{secureAt.String(): true, plainAt.String(): false, namedAt.String(): false}
	for _, e := range s.Endpoints() {
		if secure, ok := want[e.Addr.String()]; !ok || e.Secure != secure {
			t.Errorf("%v: TLS %v", e.Addr, e.Secure)
		}
		delete(want, e.Addr.String())
	}
	if len(want) > 0 {
		t.Errorf("not served: %v", want)
	}
}
