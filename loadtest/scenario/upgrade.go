package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/report"
)

// lineage is the processes of a server that is upgraded.
type lineage struct {
	begun  atomic.Int64 // upgrades
	passed atomic.Bool  // the processes change just now

	mu   sync.Mutex
	pid  int           // of a server that the load test has not started, behind an upgrade; 0: as given
	used time.Duration // by its former processes, about
}

// process is the pid of a server that was given as pid, and what the former ones used.
func (l *lineage) process(pid int) (int, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pid != 0 {
		pid = l.pid
	}
	return pid, l.used
}

// upgrades publishes all the time, and has the server upgraded N times meanwhile. Nobody reconnects:
// a connection that ends is one that the server has dropped.
func (e *experiment) upgrades() (*report.Report, error) {
	return e.with(nil, true, func(s *session) error {
		s.lineage = &lineage{}
		for _, p := range s.probes {
			p.lineage = s.lineage
		}
		ended := make(chan error, 1)
		var each []report.Upgrade
		var last time.Time // when the last upgrade had ended
		go func() {        // ends with the last upgrade, or when the user interrupts
			var err error
			each, err = s.upgradeAll()
			last = time.Now()
			ended <- err
		}()
		s.publish(e.s.Rate, e.s.Duration, 0, nil)
		published := time.Now()
		if err := <-ended; err != nil {
			s.abort(err)
		} else if len(each) > 0 && last.After(published) {
			s.abort(errTooShort)
		}
		if m := s.report.Messages; m != nil {
			s.report.Upgrades = s.paused(each)
		}
		return nil
	})
}

// errTooShort: nobody saw what the end of the last upgrade did.
var errTooShort = errors.New("nothing was published any more when the last upgrade ended: use a longer --duration")

// upgradeAll upgrades the server again and again, in equal distances.
func (s *session) upgradeAll() (each []report.Upgrade, err error) {
	if err := child.Reaper(); err != nil { // else the processes' use of CPU would not be known
		return nil, err
	}
	began := time.Now()
	for i := range s.s.Upgrades {
		s.pause(time.Until(began.Add(s.s.Duration * time.Duration(i+1) / time.Duration(s.s.Upgrades+1))))
		if s.interrupted() || s.report.Aborted != "" {
			return each, nil
		}
		at := time.Now()
		s.lineage.passed.Store(true)
		s.lineage.begun.Add(1)
		pid, said, err := s.upgrade()
		if err != nil {
			return each, fmt.Errorf("upgrade %d: %w", i+1, err)
		}
		s.lineage.passed.Store(false)
		each = append(each, report.Upgrade{At: round(at.Sub(began).Seconds()), Took: round(time.Since(at).Seconds()), PID: pid, Said: said})
	}
	return each, nil
}

// upgradeLimit is how long one upgrade may take: a new process reads the log.
const upgradeLimit = 2 * time.Minute

// errNotUpgraded: the reason is in the log of the server.
var errNotUpgraded = errors.New("the new process has ended, and the server goes on without it: its log has the reason")

// upgrade has the server go on in another process, and returns its pid, 0 where it is not known.
func (s *session) upgrade() (pid int, said string, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, upgradeLimit)
	defer cancel()
	server := at(s.servers, 0)
	var old int
	if server != nil {
		old, _ = server.Usage()
	} else {
		old, _ = s.lineage.process(at(s.s.PID, 0))
	}
	var answered chan error
	if admin := at(s.s.Admin, 0); admin != "" {
		answered = make(chan error, 1)
		go func() { // ends with ctx
			var err error
			said, err = askForUpgrade(ctx, admin)
			answered <- err
		}()
	} else if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
		return 0, "", fmt.Errorf("SIGUSR2 to process %d: %w", old, err)
	}
	if old == 0 { // another machine's
		return 0, said, <-answered
	}
	used, _ := loadtest.CPUTime(old) // it may be another user's
	if pid, err = successor(ctx, old, answered); err != nil {
		return 0, "", err
	}
	if server != nil {
		return pid, said, server.Follow(ctx, pid)
	}
	s.lineage.mu.Lock()
	defer s.lineage.mu.Unlock()
	s.lineage.pid, s.lineage.used = pid, s.lineage.used+used
	return pid, said, nil
}

// successor waits until the process old has ended, and returns the child of it that goes on.
// answered, if it is not nil, has the end of the request for it.
func successor(ctx context.Context, old int, answered <-chan error) (next int, err error) {
	alone := time.Now() // the newest moment at which the old process was not
	for asked := answered; ; {
		children := child.Children(old)
		if n := len(children); n > 0 {
			next = children[n-1]
		}
		gone := !child.Running(old)
		switch {
		case gone && next == 0:
			return 0, fmt.Errorf("process %d has ended, and no other one has taken over", old)
		case gone && asked == nil:
			return next, nil
		case gone || len(children) > 0 || next == 0:
			alone = time.Now()
		case answered == nil && time.Since(alone) > staysAlone:
			return 0, errNotUpgraded
		}
		select {
		case err := <-asked:
			if asked = nil; err != nil {
				return 0, err
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("process %d does not pass on to another one: %w", old, ctx.Err())
		case <-time.After(lookAgain):
		}
	}
}

// staysAlone is how long a process without a child has called the upgrade off. A Go program that starts a process
// for the first time tries out on a child that ends at once how it can.
const staysAlone = time.Second

// lookAgain is how often the processes are looked at. A child that ends sooner is not seen.
const lookAgain = 3 * time.Millisecond

// askForUpgrade is POST /upgrade of the admin listener, whose address or metrics' URL is given.
func askForUpgrade(ctx context.Context, admin string) (said string, err error) {
	url := metricsURL(admin)
	url = url[:strings.LastIndexByte(url, '/')] + "/upgrade"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	said = strings.TrimSpace(string(text))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, said)
	}
	return said, err
}

// cut is the state of a run between two parts of it.
type cut struct {
	received loadtest.Received
	waits    *loadtest.Latency // of publishers
	opened   int               // by publishers
}

// cutAt notes the state at a sample. The newest one before an upgrade is where its part begins.
func (s *session) cutAt(now loadtest.Received) {
	if s.lineage == nil {
		return
	}
	c := cut{received: now}
	c.waits, c.opened = s.publisher.Answered()
	if s.cut.waits == nil { // nothing came before the run
		s.cut = cut{loadtest.Received{Latency: loadtest.NewLatency()}, loadtest.NewLatency(), c.opened}
		s.cuts = append(s.cuts, s.cut)
	}
	for int64(len(s.cuts)) <= s.lineage.begun.Load() {
		s.cuts = append(s.cuts, s.cut)
	}
	s.cut = c
}

// paused is what was seen in the parts of the run.
func (s *session) paused(each []report.Upgrade) *report.Upgrades {
	u := &report.Upgrades{Each: each, Gaps: s.report.Messages.Gaps}
	cuts := append(s.cuts, s.cut)
	if len(cuts) < len(each)+2 { // it was aborted before the first sample
		return u
	}
	u.Before = between(cuts[0], cuts[1])
	for i := range each {
		each[i].Pause = between(cuts[i+1], cuts[i+2])
	}
	all := between(cuts[1], s.cut)
	u.Deliveries, u.Publishers = all.Deliveries, all.Publishers
	u.Disconnects = between(cuts[0], s.cut).Disconnects
	return u
}

// between is what came from one state to another.
func between(from, to cut) report.Pause {
	a, b := &from.received, &to.received
	return report.Pause{
		Deliveries: report.NewTimes(b.Latency.Since(a.Latency)), Publishers: report.NewTimes(to.waits.Since(from.waits)),
		Disconnects: b.Closed - a.Closed + b.Renewed - a.Renewed + to.opened - from.opened,
		Duplicated:  b.Duplicated - a.Duplicated, Reordered: b.Reordered - a.Reordered, Gaps: b.Gaps - a.Gaps,
	}
}

// Implied are the objectives of the settings besides those that are given: an upgrade is one
// that nobody notices.
func (s *Settings) Implied(name string) (all []report.Objective, err error) {
	if name != "restart" || !s.Upgrade {
		return nil, nil
	}
	for _, text := range []string{"disconnects>0", "lost>0", "duplicated>0", "reordered>0", "gaps>0", "refused>0"} {
		o, err := report.ParseObjective(text)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}
