package server

import (
	"fmt"
	"io/fs"
	"os/user"
	"strconv"

	"peal/loop"
)

// defaultSocketMode lets every user of the machine connect, as 127.0.0.1 does: the
// proxy in front of Peal is mostly another user. The directory can be closed.
const defaultSocketMode = "0666"

func (c Config) checkSocketMode() error {
	if c.SocketMode == "" {
		return nil
	}
	if n, err := strconv.ParseUint(c.SocketMode, 8, 32); err != nil || n > 0o777 {
		return fmt.Errorf("socket-mode %q: must be octal, from 0 to 0777, as in 0660", c.SocketMode)
	}
	return nil
}

// permissions are those of Unix sockets; c is valid and has its defaults.
func (c Config) permissions() (p loop.Permissions, err error) {
	n, err := strconv.ParseUint(c.SocketMode, 8, 32)
	if err != nil {
		return p, err
	}
	p.Mode = fs.ModeSocket | fs.FileMode(n) // never 0, which would leave the mode to the umask
	if c.SocketGroup == "" {
		return p, nil
	}
	if p.Group, err = strconv.Atoi(c.SocketGroup); err == nil {
		return p, nil
	}
	group, err := user.LookupGroup(c.SocketGroup)
	if err != nil {
		return p, fmt.Errorf("socket-group %q: this machine has no such group", c.SocketGroup)
	}
	p.Group, err = strconv.Atoi(group.Gid)
	return p, err
}
