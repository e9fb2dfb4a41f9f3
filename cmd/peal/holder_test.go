package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheHolderHasTheSameAddress(t *testing.T) {
	table := filepath.Join(t.TempDir(), "tcp")
	const row = "%: X 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 INODE 1 0 100 0 0 10 0\n"
	text := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for i, local := range []string{"0100007F:1F90", "0500000A:1F90", "00000000:1F91", "00000000000000000000000001000000:1F90", "00000000000000000000000000000000:1F92"} {
		text += strings.NewReplacer("X", local, "INODE", string(rune('1'+i))).Replace(row)
	}
	text += strings.Replace(strings.Replace(row, "X", "0100007F:1F90", 1), " 0A ", " 01 ", 1) // does not listen
	if err := os.WriteFile(table, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"127.0.0.1:8080": "1", "10.0.0.5:8080": "2", "0.0.0.0:8080": "124", "[::1]:8080": "4", "127.0.0.2:8080": "",
		"127.0.0.1:8081": "3", "127.0.0.1:8082": "5", "127.0.0.1:8083": "",
	} {
		got := ""
		for _, s := range listening(table, netip.MustParseAddrPort(at)) {
			got += strings.TrimSuffix(strings.TrimPrefix(s.link, "socket:["), "]")
			if s.user != "1000" {
				t.Errorf("user %s", s.user)
			}
		}
		if got != want {
			t.Errorf("%s is held by %q, want %q", at, got, want)
		}
	}
}

// The error names the cause, and not that another process has the address.
func TestServeSaysWhyItCannotListen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimPrefix(ln.Addr().String(), "127.0.0.1:")
	ln.Close() // free now
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(code int, want string, args ...string) {
		t.Helper()
		got, stdout, message := called(t, append([]string{"serve"}, args...)...)
		if got != code || stdout != "" || !strings.Contains(message, want) || strings.Contains(message, "another process") {
			t.Errorf("peal serve %q: exit code %d, %q, %q, want %d and %q", args, got, stdout, message, code, want)
		}
	}
	check(1, "no network interface of this machine has the address 203.0.113.1", "--listen", "203.0.113.1:"+port, "--open")
	check(1, "this server listens on ", "--open", "--listen", "0.0.0.0:"+port, "--listen", "127.0.0.1:"+port)
	check(1, "this server listens on ", "--open", "--listen", "0.0.0.0:"+port, "--admin", "127.0.0.1:"+port)
	check(2, "is given as --listen and as --admin", "--listen", port, "--admin", port)
	check(1, "not a socket", "--listen", "unix:"+file)
	check(1, "the parent process did not pass it", "--inherit", "987")
}
