package loadtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
)

// FreePort returns a port of the loopback address that is free now and from
// which no client can be given a port: while the server is away, a client on
// its port could connect to itself and keep the server from coming back.
func FreePort() (int, error) {
	lowest := 32768 // of the ports given to clients, unless set otherwise
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(b), &lowest) // the default stays
	}
	if lowest < 2048 {
		return 0, fmt.Errorf("clients may be given any port from %d on: none is left for a server", lowest)
	}
	for range 1000 {
		port := 1024 + rand.IntN(lowest-1024)
		l, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port found")
}
