package child

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Ports are two free ports of the loopback address, for a server and for its
// metrics.
type Ports struct{ Port, Admin int }

// FreePorts returns two ports that are free now.
func FreePorts() (p Ports, err error) {
	for p.Port == p.Admin {
		if p.Port, err = FreePort(); err != nil {
			return p, err
		}
		if p.Admin, err = FreePort(); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Replace puts the ports where {port} and {admin} stand, and 127.0.0.1:{port} where
// {addr} does.
func (p Ports) Replace(text string) string {
	return strings.NewReplacer("{port}", strconv.Itoa(p.Port), "{admin}", strconv.Itoa(p.Admin), "{addr}", Loopback(p.Port)).Replace(text)
}

// Loopback is the address of a port on this machine.
func Loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// FreePort returns a port of the loopback address that is free now and from
// which no client can be given a port: while the server is away, a client on
// its port could connect to itself and keep the server from coming back. Until
// the server starts nobody listens on it, so processes that choose ports at the
// same time (the tests of several packages) have ranges of their own, and each
// gives its ports out in turn.
func FreePort() (int, error) {
	lowest := 32768 // of the ports given to clients, unless set otherwise
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(b), &lowest) // the default stays
	}
	if lowest < 2048 {
		return 0, fmt.Errorf("clients may be given any port from %d on, so none is left for a server: raise net.ipv4.ip_local_port_range", lowest)
	}
	for range lowest - 1024 {
		port := 1024 + candidate(os.Getpid(), int(chosen.Add(1)), lowest-1024)
		l, err := net.Listen("tcp4", Loopback(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port found")
}

// chosen counts the ports that this process has looked at.
var chosen atomic.Int64

// candidate is the nth of ports numbers that the process looks at. Its first 64 are
// those of few other processes.
func candidate(process, n, ports int) int { return (process*64 + n) % ports }
