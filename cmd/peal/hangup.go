package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"peal/server"
	"peal/server/logging"
	"peal/server/settings"
)

// hangup handles SIGHUP: it reloads the configuration, or ends the server if no file
// was read at the start, or if the terminal of the server was closed. It also reloads
// for the operator's listener (peal reload).
type hangup struct {
	load      func() (*settings.Settings, error)
	file      string // the files that were read at the start, separated by commas; "" for none
	terminals []int  // standard descriptors that were a terminal at the start
	log       *logging.Logger
	server    *server.Server
	service   *service

	mu      sync.Mutex // held while it reloads: peal reload asks for it, too
	current *settings.Settings
	paused  bool // by an upgrade
	missed  bool // a signal came meanwhile
}

// settings are the ones in force.
func (h *hangup) settings() *settings.Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// pause has reloads be refused until resume: the new process has read the configuration, and would not
// know of them.
func (h *hangup) pause() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paused, h.missed = true, false
}

// resume ends pause, and reports whether a signal came meanwhile.
func (h *hangup) resume() (missed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paused = false
	return h.missed
}

// errUpgrading refuses a reload.
var errUpgrading = errors.New("an upgrade is under way, and the new process has read the configuration already: reload again when it is over")

// standardTerminals are the standard descriptors that are a terminal now.
func standardTerminals() (fds []int) {
	for fd := range 3 {
		if isTerminal(fd) {
			fds = append(fds, fd)
		}
	}
	return fds
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// handle reports whether the server must end.
func (h *hangup) handle(ctx context.Context) (end bool) {
	for _, fd := range h.terminals {
		if !isTerminal(fd) { // the kernel returns EIO once a terminal has hung up
			h.log.Info("SIGHUP: the terminal was closed, the server ends")
			return true
		}
	}
	if h.file == "" {
		h.log.Info("SIGHUP: there is no configuration file to reload, the server ends")
		return true
	}
	if _, err := h.reload(ctx); errors.Is(err, errUpgrading) { // others are logged
		h.mu.Lock()
		defer h.mu.Unlock()
		h.missed = true
		h.log.Info("SIGHUP: the configuration is reloaded when the upgrade is over")
	}
	return false
}

// reloadLimit is how long event loops may take to apply new values.
const reloadLimit = 5 * time.Second

// reload reads the configuration and its files again and applies what a running server
// can change. It logs what it has done, with a line for each setting that needs a
// restart, and returns it in words. On an error nothing is changed. Values are neither
// logged nor returned.
func (h *hangup) reload(ctx context.Context) (done string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paused {
		return "", errUpgrading
	}
	h.service.tell(h.service.Reloading())
	defer func() { h.service.reloaded(err) }()
	next, err := h.load()
	if err != nil {
		return "", h.refuse(err)
	}
	var dead []settings.Change
	var names []string
	for _, c := range h.current.Changes(next) {
		if c.Live {
			names = append(names, c.Name)
		} else {
			dead = append(dead, c)
		}
	}
	taken := h.current.Take(next, names)
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	if err := h.server.Reload(ctx, taken.Config); err != nil {
		return "", h.refuse(err)
	}
	h.current = taken
	h.log.SetLevel(taken.Config.WithDefaults().LogLevel)
	var b strings.Builder
	fmt.Fprintf(&b, "reloaded; changed: %s\n", cmp.Or(strings.Join(names, ", "), "no setting; files of tokens, keys and certificates were read again"))
	for _, c := range dead {
		h.log.Warn("setting changed, but not reloaded: restart the server to apply it", "setting", c.Name, "source", c.Source)
		fmt.Fprintf(&b, "restart the server to apply %s (%s)\n", c.Name, c.Source)
	}
	h.log.Info("configuration reloaded", "file", h.file, "applied", strings.Join(names, " "), "need_restart", len(dead))
	return b.String(), nil
}

// refuse logs why the configuration stays as it is.
func (h *hangup) refuse(err error) error {
	h.log.Warn("configuration not reloaded: all settings stay as they are", "file", h.file, "error", err)
	return fmt.Errorf("configuration not reloaded, all settings stay as they are: %w", err)
}

// ignoreBrokenPipes makes writes to a standard output or error that has no reader
// fail. By default they end a Go program by SIGPIPE, which is right for a tool in
// a pipeline and wrong for a server. Children would inherit signal.Ignore.
func ignoreBrokenPipes() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) // never read: further signals are dropped
}
