package server

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/upgrade"
)

// What a door is for.
const (
	doorClients  = "clients"
	doorPlain    = "plain"
	doorAdmin    = "admin"
	doorRedirect = "redirect"
)

// door is a listener, for the process that goes on for this one.
type door struct {
	fd int
	upgrade.Listener
}

// openDoor is the door of a listener of package net, of whose descriptor it has a copy.
func openDoor(ln net.Listener, purpose, configured string) (d door, err error) {
	own, ok := ln.(syscall.Conn)
	if !ok {
		return d, fmt.Errorf("a listener of type %T", ln)
	}
	raw, err := own.SyscallConn()
	if err != nil {
		return d, err
	}
	d.Listener = upgrade.Listener{Purpose: purpose, Address: ln.Addr().String(), Configured: configured}
	if e := raw.Control(func(fd uintptr) { d.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); e != nil {
		return d, e
	}
	return d, err
}

// addDoor notes a listener of package net. Its descriptor is copied, until the end.
func (s *Server) addDoor(ln net.Listener, purpose, configured string) error {
	d, err := openDoor(ln, purpose, configured)
	if err != nil {
		return err
	}
	s.doors = append(s.doors, d)
	s.closers.add("close the copy of a listener", func() error { return unix.Close(d.fd) })
	return nil
}

// handedDoor is a listener of the process that this one goes on for.
type handedDoor struct {
	door
	taken bool
}

// handed are all of them.
type handed []handedDoor

func newHanded(listeners []upgrade.Listener, descriptors []int) (h handed) {
	for i, l := range listeners {
		h = append(h, handedDoor{door: door{descriptors[i], l}})
	}
	return h
}

// take returns the listener for an address of the configuration, if there is one: that which the same
// setting has opened for the same text, as for a port that the kernel has chosen, or else
// any that is at the address.
func (h handed) take(purpose string, a address) (fd int, ok bool) {
	for _, fits := range []func(*handedDoor) bool{
		func(d *handedDoor) bool { return d.Purpose == purpose && d.Configured == a.text },
		func(d *handedDoor) bool {
			at := loop.Address(d.fd)
			return at != nil && isAmong(a, []net.Addr{at})
		},
	} {
		for i := range h {
			if d := &h[i]; !d.taken && fits(d) {
				d.taken = true
				return d.fd, true
			}
		}
	}
	return 0, false
}

// inherited is what the setting inherit calls a descriptor.
func inherited(fd int) string { return "inherit " + strconv.Itoa(fd) }

// isInherited reports whether a process manager has passed the listener.
func isInherited(l *upgrade.Listener) bool {
	_, err := fmt.Sscanf(l.Configured, "inherit %d", new(int))
	return err == nil
}

// keep gives the configuration the listeners that a process manager has passed to the first process. They
// stay as they are: this process cannot know whether it should have others.
func (h handed) keep(c *Config) error {
	for _, x := range []struct {
		purpose, setting string
		to               *[]int
	}{{doorClients, "inherit", &c.Inherit}, {doorPlain, "inherit-plain", &c.InheritPlain}, {doorAdmin, "inherit-admin", &c.InheritAdmin}} {
		asked := *x.to
		*x.to = nil
		var known []string
		for i := range h {
			if d := &h[i]; d.Purpose == x.purpose && isInherited(&d.Listener) {
				d.taken = true
				*x.to = append(*x.to, d.fd)
				known = append(known, d.Configured)
			}
		}
		for _, fd := range asked {
			if !slices.Contains(known, inherited(fd)) {
				return fmt.Errorf("%s %d: the running server does not have this listener, and only the process that starts a server can pass one: restart the server", x.setting, fd)
			}
		}
	}
	return nil
}

// original is what the first process calls a descriptor of Config.Inherit.
func (h handed) original(fd int) string {
	for i := range h {
		if h[i].fd == fd {
			return h[i].Configured
		}
	}
	return inherited(fd)
}

// rest are the addresses of those that nothing has taken.
func (h handed) rest() (all []net.Addr) {
	for i := range h {
		if at := loop.Address(h[i].fd); at != nil && !h[i].taken {
			all = append(all, at)
		}
	}
	return all
}

// bind opens a listener of a setting, or takes that of the process that this one goes on
// for. others are those that this server has already.
func (s *Server) bind(purpose string, a address, p loop.Permissions, others []net.Addr) (net.Listener, error) {
	if fd, ok := s.handed.take(purpose, a); ok {
		return inheritListener(fd)
	}
	ln, err := listenOn(a, p, others)
	if at := includes(s.handed.rest(), a, err); at != nil {
		return nil, &listenError{a.text, fmt.Errorf("the running server listens on %s, and an upgrade cannot replace this listener by another one of the same port: restart the server, or choose another port", at)}
	}
	return ln, err
}

// inheritListener is loop.Inherit for a listener of package net.
func inheritListener(fd int) (net.Listener, error) {
	own, err := loop.Inherit(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "")
	defer f.Close() // FileListener copies it
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("inherit descriptor %d: %w", fd, err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // another process has made the file, or goes on with it
	}
	return ln, nil
}
