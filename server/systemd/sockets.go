package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Socket is a descriptor that systemd passed.
type Socket struct {
	FD   int
	Name string // FileDescriptorName= of the socket unit; without one the unit's name, as in peal.socket
}

const (
	firstSocket = 3   // SD_LISTEN_FDS_START
	mostSockets = 100 // more are surely a mistake
)

// Sockets returns the descriptors that systemd passed to this process, in their order.
// They stay open in this process and are closed in its children.
func Sockets() ([]Socket, error) {
	process, count, names := take("LISTEN_PID"), take("LISTEN_FDS"), take("LISTEN_FDNAMES")
	if process != strconv.Itoa(os.Getpid()) || count == "" {
		return nil, nil // none, or those of a parent process
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > mostSockets {
		return nil, fmt.Errorf("LISTEN_FDS is %q: must be a number from 0 to %d", count, mostSockets)
	}
	named := strings.Split(names, ":")
	if names != "" && len(named) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES has %d names for %d descriptors", len(named), n)
	}
	var all []Socket
	for i := range n {
		s := Socket{FD: firstSocket + i}
		if names != "" {
			s.Name = named[i]
		}
		unix.CloseOnExec(s.FD)
		all = append(all, s)
	}
	return all, nil
}

// take returns a variable and removes it.
func take(name string) string {
	value := os.Getenv(name)
	os.Unsetenv(name)
	return value
}
