package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"peal/server"
	"peal/server/systemd"
)

// service is what systemd and the server tell each other. Outside systemd it does
// nothing.
type service struct {
	*systemd.Notifier
	watchdog time.Duration // 0: none
	sockets  []systemd.Socket
	log      *slog.Logger
	status   string // while it serves
}

// newService reads what systemd has passed. Its environment variables are gone then.
func newService() (*service, error) {
	s := &service{log: slog.New(slog.DiscardHandler)}
	var err error
	if s.Notifier, err = systemd.NewNotifier(); err != nil {
		return nil, err
	}
	if s.watchdog, err = systemd.WatchdogInterval(); err != nil {
		return nil, err
	}
	s.sockets, err = systemd.Sockets()
	return s, err
}

// addSockets adds the passed sockets to c by their names: FileDescriptorName= of the
// socket unit, which is otherwise the name of the unit itself.
func (s *service) addSockets(c *server.Config) error {
	for _, socket := range s.sockets {
		switch name := socket.Name; {
		case name == "admin":
			c.InheritAdmin = append(c.InheritAdmin, socket.FD)
		case name == "listen", name == "", name == "unknown", strings.HasSuffix(name, ".socket"):
			c.Inherit = append(c.Inherit, socket.FD)
		case name == "plain":
			c.InheritPlain = append(c.InheritPlain, socket.FD)
		default:
			return fmt.Errorf("socket activation: descriptor %d has the name %q: set FileDescriptorName= of the socket unit to listen, plain or admin", socket.FD, name)
		}
	}
	return nil
}

// run reports to systemd that the server is ready, once its event loops turn, and then
// that they still do, until ctx ends.
func (s *service) run(ctx context.Context, stuck func(context.Context) []int) {
	if len(stuck(ctx)) > 0 || ctx.Err() != nil {
		return
	}
	s.tell(s.Ready(s.status))
	if s.watchdog == 0 {
		return
	}
	s.Watch(ctx, s.watchdog, func(ctx context.Context) error {
		if loops := stuck(ctx); len(loops) > 0 {
			return fmt.Errorf("event loops %v did not turn within %v: systemd ends the server when that lasts for %v (WatchdogSec)", loops, s.watchdog/4, s.watchdog)
		}
		return nil
	}, func(err error) { s.log.Error("nothing reported to the watchdog of systemd", "error", err) })
}

// drain reports the end of the server, once ctx has ended, unless another process serves then.
func (s *service) drain(ctx, ended context.Context, over func() bool, limit func() time.Duration) {
	select {
	case <-ended.Done():
	case <-ctx.Done():
		if over() {
			return
		}
		d := limit()
		s.tell(s.Stopping(fmt.Sprintf("Draining for at most %v", d), d+stopMargin))
	}
}

// stopMargin is what the end of the process may take beside the drain: closing the log.
const stopMargin = 20 * time.Second

// reloaded reports the end of a reload, after Reloading.
func (s *service) reloaded(err error) {
	status := s.status
	if err != nil {
		status += "; the last reload was refused: see the log"
	}
	s.tell(s.Ready(status))
}

func (s *service) tell(err error) {
	if err != nil {
		s.log.Warn("systemd does not learn the state of the server", "error", err)
	}
}
