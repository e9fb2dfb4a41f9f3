package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// withHolder adds to an "address already in use" who has it and what to do.
func withHolder(err error) error {
	var op *net.OpError
	if !errors.Is(err, unix.EADDRINUSE) || !errors.As(err, &op) {
		return err
	}
	who := "another process has it"
	if a, ok := op.Addr.(*net.TCPAddr); ok {
		if pid, command := holder(a.Port); pid != 0 {
			who = fmt.Sprintf("process %d (%s) has it", pid, command)
		}
	}
	return fmt.Errorf("%w: %s; end it, or choose another address", err, who)
}

// holder finds the process that listens on a TCP port, 0 if /proc does not say:
// other users' descriptors are hidden from all but root.
func holder(port int) (pid int, command string) {
	pids := holders(port)
	if len(pids) == 0 {
		return 0, ""
	}
	return pids[0], commandLine("/proc/" + strconv.Itoa(pids[0]))
}

// holders are the processes that have a listening socket of the port.
func holders(port int) (pids []int) {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listening(table, port, sockets)
	}
	if len(sockets) == 0 {
		return nil
	}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good: no error
	for _, d := range descriptors {
		// A process that ended meanwhile or is hidden has no link to read.
		if target, err := os.Readlink(d); err != nil || !sockets[target] {
			continue
		}
		process := filepath.Dir(filepath.Dir(d))
		pid, err := strconv.Atoi(filepath.Base(process))
		if err == nil && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// maxCommand is how much of a command line an error message has room for.
const maxCommand = 120

func commandLine(process string) string {
	b, err := os.ReadFile(filepath.Join(process, "cmdline"))
	if err != nil || len(b) == 0 {
		return "unknown command"
	}
	command := strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
	if len(command) > maxCommand {
		command = command[:maxCommand] + "…"
	}
	// Arguments are another process's: they must not move the cursor.
	return strings.Trim(strconv.Quote(command), `"`)
}

// listening adds the sockets of one table of /proc/net that listen on port, as
// the links in /proc/PID/fd name them. Columns: proc_net_tcp(5): 1 is the local
// address in hexadecimal, 3 the state (0A: listening), 9 the inode.
func listening(table string, port int, sockets map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return // no /proc, or no IPv6: then nobody is named
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) < 10 || columns[3] != "0A" {
			continue
		}
		_, local, _ := strings.Cut(columns[1], ":")
		b, err := hex.DecodeString(local)
		if err == nil && len(b) == 2 && int(b[0])<<8|int(b[1]) == port {
			sockets["socket:["+columns[9]+"]"] = true
		}
	}
}
