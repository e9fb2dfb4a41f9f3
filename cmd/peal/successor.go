package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"peal/server/upgrade"
)

// What a command does with a server by signals, where there is no admin listener.

const (
	succeedEvery = 50 * time.Millisecond // how often succeed looks
	succeedBegin = 10 * time.Second      // until the server must have started the new process
)

// succeed has a process hand over by SIGUSR2, and returns when it has ended, because another one serves. After an error, which
// the log of the server explains, the process goes on.
func succeed(ctx context.Context, process int) error {
	handle, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return fmt.Errorf("process %d: %w", process, err)
	}
	defer unix.Close(handle)
	own, above := arguments(process), upgrade.Parent(process)
	before := successors(process, above, own)
	if err := unix.PidfdSendSignal(handle, unix.SIGUSR2, nil, 0); err != nil {
		return fmt.Errorf("process %d: %w", process, err)
	}
	began := time.Now()
	child := 0
	every := time.NewTicker(succeedEvery)
	defer every.Stop()
	for {
		if ended(handle) {
			return nil
		}
		switch {
		case child == 0:
			for one := range successors(process, above, own) {
				if _, old := before[one]; !old {
					child = one
				}
			}
			if child == 0 && time.Since(began) > succeedBegin {
				return fmt.Errorf("process %d has not started a new one within %v: its log says why, or it is of a version that cannot be upgraded (restart it then)", process, succeedBegin)
			}
		default:
			if arguments(child) == "" && !ended(handle) { // one that has ended has none
				return fmt.Errorf("process %d goes on: the new process did not take over; the log says why", process)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d has not handed over in time: %w", process, context.Cause(ctx))
		case <-every.C:
		}
	}
}

// ended reports whether the process of a handle has ended.
func ended(handle int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// arguments are those of a process, "" for one that has ended or has none.
func arguments(process int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process))
	_, rest, _ := strings.Cut(string(text), "\x00")
	return rest
}

// successors are the processes that a process may have started to go on for it: its children, and those of its parent
// (systemd), with the same arguments.
func successors(process, above int, own string) map[int]struct{} {
	all := map[int]struct{}{}
	files, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, file := range files {
		one, err := strconv.Atoi(filepath.Base(file))
		if err != nil || one == process {
			continue
		}
		if parent := upgrade.Parent(one); parent != 0 && (parent == process || parent == above) && arguments(one) == own {
			all[one] = struct{}{}
		}
	}
	return all
}

// sameProgram reports whether a process runs the program that this one is.
func sameProgram(process int) (bool, error) {
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", process))
	if err != nil {
		return false, fmt.Errorf("which program process %d runs is not known: %w (use the user of the server, or root)", process, errors.Unwrap(err))
	}
	own, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false, err
	}
	return os.SameFile(running, own), nil
}
