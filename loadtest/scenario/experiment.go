package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/report"
)

// experiment is one Run.
type experiment struct {
	name    string
	s       Settings
	targets []loadtest.Target
	backoff loadtest.Backoff // of Settings.Reconnect
	servers []*child.Program // with Settings.Start: one for each target
	ctx     context.Context  // of what must be done; it does not end when the user interrupts
	soft    context.Context  // ends when the user interrupts

	agentToken string
}

// session is the subscribers, open, and what is known of the server.
type session struct {
	*experiment
	pool      *loadtest.Pool
	publisher *loadtest.Publisher
	probes    []*probe
	report    *report.Report
	before    usage // the subscribers
	last      usage
	recovery  *report.Times // of the newest run, if there was a drop
	unhealed  int           // clients that did not recover
	excuse    bool          // what the server did not accept is not lost
	returns   bool          // clients come back that the server has dropped
	lastOwn   own           // at the newest sample

	lineage *lineage // of upgrades; nil: there are none
	cuts    []cut    // where parts of the run begin
	cut     cut      // at the newest sample
}

// newReport has what is known at the start.
func (e *experiment) newReport() *report.Report {
	var kernel unix.Utsname
	_ = unix.Uname(&kernel) // it cannot fail with a good pointer
	return &report.Report{
		Schema: report.Schema, Scenario: e.name, Began: time.Now().UTC().Truncate(time.Millisecond),
		Environment: report.Environment{CPUs: runtime.NumCPU(), Kernel: unix.ByteSliceToString(kernel.Release[:]), Go: runtime.Version(), Load: e.s.Version},
		Settings: report.Settings{Targets: e.s.Targets, Publish: e.s.Publish, Start: e.s.Start, Connections: e.s.Connections, Channels: e.s.Channels,
			Rate: e.s.Rate, Stages: texts(e.s.Stages), Size: e.s.Size, Duration: e.s.Duration.Seconds(), Dialects: e.dialects(), Data: e.s.Speech.Data},
		Objectives: []report.Judged{}, Intervals: []report.Interval{},
	}
}

// shape makes other subscribers of the plain ones; nil keeps them.
type shape func([]loadtest.Spec) []loadtest.Spec

// with opens the subscribers and, with publish, the publishers, does do with them
// and closes them. do is left out where there is nothing to measure, and the
// report then says why.
func (e *experiment) with(shape shape, publish bool, do func(*session) error) (r *report.Report, err error) {
	s := &session{experiment: e, report: e.newReport(), excuse: e.s.Cluster}
	defer func() { err = errors.Join(err, s.close()) }()
	switch err := s.open(shape, publish); {
	case errors.Is(err, ErrUsage):
		return nil, err
	case err != nil && e.interrupted(): // that is why
		s.report.Interrupted = true
	case err != nil:
		s.abort(err)
	case s.report.Connections.Opened > 0:
		if publish {
			s.warmUp()
		}
		if err := do(s); err != nil {
			return nil, err
		}
	}
	if s.pool != nil && s.report.Connections.Opened == 0 {
		if now, err := s.pool.Sample(s.ctx, nil); err == nil {
			s.readable(now)
		}
	}
	s.report.Validate(e.s.Limits)
	return s.report, nil
}

// open reads what the servers hold, connects the publishers and opens the
// subscribers.
func (s *session) open(shape shape, publish bool) (err error) {
	for i := range s.targets {
		p := &probe{pid: at(s.s.PID, i), admin: metricsURL(at(s.s.Admin, i)), server: at(s.servers, i)}
		if *p != (probe{}) {
			s.probes = append(s.probes, p)
		}
	}
	if s.before, err = s.read(); err != nil {
		return err
	}
	for _, o := range s.s.Objectives {
		if o.Metric == "descriptors_slope" && s.before.descriptors == nil {
			return fmt.Errorf("%w: objective %s: the server's descriptors cannot be read: run as the user of its process, or use an --admin that has process_open_fds", ErrUsage, o.Text)
		}
	}
	if err = s.connect(shape, publish); err != nil {
		return err
	}
	return s.rest()
}

// connect connects the publishers and opens the subscribers.
func (s *session) connect(shape shape, publish bool) error {
	if publish {
		if err := s.dial(); err != nil {
			return err
		}
	}
	s.say("opening %d connections", s.s.Connections)
	specs := s.specs()
	if shape != nil {
		specs = shape(specs)
	}
	var parts []loadtest.Spec
	for _, spec := range specs {
		parts = append(parts, loadtest.Split(spec, s.s.Sources...)...)
		s.returns = s.returns || spec.Resume
	}
	opening, cancel := context.WithCancel(s.ctx) // its end kills the workers
	stop := context.AfterFunc(s.soft, cancel)
	pool, opened, err := loadtest.OpenParts(opening, parts)
	stop()
	if err != nil {
		return err // the pool is closed
	}
	s.pool = pool
	s.report.Connections = report.Connections{Wanted: opened.Connections + opened.Failed, Opened: opened.Connections, Failed: opened.Failed,
		FirstError: opened.FirstError, Took: opened.Took.Seconds(), Handshake: report.NewTimes(opened.Handshake)}
	if s.s.Deflate {
		s.report.Connections.Deflated = &opened.Deflated
	}
	return nil
}

// reconnect connects all anew: what a server did to the connections that were, and
// what it has queued for them, ends with them.
func (s *session) reconnect(shape shape) error {
	err := s.close()
	s.publisher, s.pool = nil, nil
	if err != nil {
		return err
	}
	return s.connect(shape, true)
}

// at is all[i], and nothing behind its end.
func at[T any](all []T, i int) (v T) {
	if i < len(all) {
		v = all[i]
	}
	return v
}

// abort records why the run cannot go on. What was measured until then is its report,
// which is not valid. The first reason stays.
func (s *session) abort(err error) {
	if s.report.Aborted == "" {
		s.report.Aborted = err.Error()
	}
}

// readable records what the load test could not read, and why connections ended.
func (s *session) readable(r loadtest.Received) {
	s.report.Connections.Unreadable, s.report.Connections.Ends = r.Unreadable, r.Ends
	s.report.Unread = cmp.Or(s.report.Unread, r.Unread)
}

// specs are the plain subscribers: each target's share.
func (e *experiment) specs() []loadtest.Spec {
	var specs []loadtest.Spec
	for i := range e.targets {
		n := len(e.targets)
		share := e.s.Connections*(i+1)/n - e.s.Connections*i/n
		spec := e.targets[i].Spec(e.s.Channels, share)
		spec.Agents, spec.AgentToken = e.s.Agents, e.agentToken
		spec.Timeout, spec.OpenRate, spec.Header = e.s.Timeout, e.s.OpenRate/float64(n), e.header()+e.bearer(i, e.tokens(i))
		spec.Deflate, spec.Confirm = e.s.Deflate, e.s.Expect
		if e.s.Reconnect != "" {
			e.targets[i].Reconnect(&spec, e.backoff)
		}
		if e.s.GWS {
			spec.Kind = loadtest.GWS
		}
		specs = append(specs, spec)
	}
	return specs
}

func (e *experiment) header() string {
	var b strings.Builder
	for _, line := range e.s.Header {
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

// bearer is the header line with which a Peal is shown a token or a key. It is empty if
// there is none, or if the settings have another place for it: Authorization in --header,
// token= in the target.
func (e *experiment) bearer(target int, text string) string {
	t := &e.targets[target]
	own := func(line string) bool { return strings.EqualFold(line[:strings.Index(line+":", ":")], "Authorization") }
	if text == "" || !t.Peal() || strings.Contains(t.Text, "token=") || slices.ContainsFunc(e.s.Header, own) {
		return ""
	}
	return "Authorization: Bearer " + text + "\r\n"
}

// tokens is the token of each subscriber of a target, as a template.
func (e *experiment) tokens(target int) string {
	if !e.targets[target].Data.HasToken() {
		return ""
	}
	return "{token}"
}

// publishBearer is bearer of the publications of a target: the key, or else the token of the first
// subscriber.
func (e *experiment) publishBearer(target int) string {
	data := e.targets[target].Data
	first := data.Values(0, "")
	return e.bearer(target, cmp.Or(e.s.PublishKey, data.Expand(e.tokens(target), &first)))
}

// dial connects the publisher to all targets.
func (s *session) dial() (err error) {
	var all []loadtest.PublishTarget
	targets := s.targets
	if s.s.Cluster {
		targets = targets[:1]
	}
	for i := range targets {
		to, err := s.targets[i].Publish(s.soft, at(s.s.Publish, i), s.header()+s.publishBearer(i), s.s.Channels)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUsage, err)
		}
		to.Connections, to.Pipeline = s.s.Publishers, s.s.Pipeline
		all = append(all, to)
	}
	s.publisher, err = loadtest.DialPublisher(s.soft, all...)
	return err
}

// rest lets the server come to rest and reads what it holds for its connections.
func (s *session) rest() (err error) {
	if len(s.probes) == 0 {
		return nil
	}
	if s.last, err = s.read(); err != nil {
		return err
	}
	server := &report.Server{OpenCPU: (s.last.cpu - s.before.cpu).Seconds(), ResidentBefore: s.before.resident}
	for _, p := range s.probes { // of several, the first is named
		pid, _ := p.process()
		server.PID, server.Admin = cmp.Or(server.PID, pid), cmp.Or(server.Admin, p.admin)
	}
	s.report.Server = server
	s.pause(s.s.Idle)
	if s.last, err = s.read(); err != nil {
		return err
	}
	server.ResidentIdle, server.ResidentPeak = s.last.resident, s.last.resident
	if n := s.report.Connections.Opened; n > 0 {
		per := (float64(s.last.resident) - float64(s.before.resident)) / float64(n)
		server.BytesPerConnection = &per
	}
	return nil
}

// pause waits, or returns when the user interrupts.
func (e *experiment) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-e.soft.Done():
	}
}

// read sums what the servers use.
func (s *session) read() (sum usage, err error) {
	for _, p := range s.probes {
		u, err := p.read(s.ctx)
		if err != nil {
			return sum, err
		}
		sum.cpu += u.cpu
		sum.resident += u.resident
		sum.heap = plus(sum.heap, u.heap)
		sum.descriptors = plus(sum.descriptors, u.descriptors)
		sum.sockets = u.sockets // the machine's
	}
	return sum, nil
}

func plus[T int | uint64](a, b *T) *T {
	if a == nil || b == nil {
		return b
	}
	sum := *a + *b
	return &sum
}

func (s *session) close() (err error) {
	if s.publisher != nil {
		err = s.publisher.Close()
	}
	if s.pool != nil {
		err = errors.Join(err, s.pool.Close())
	}
	return err
}

func (e *experiment) say(format string, args ...any) {
	if e.s.Progress != nil {
		e.s.Progress(Progress{Text: fmt.Sprintf(format, args...)})
	}
}

func (e *experiment) interrupted() bool { return e.soft.Err() != nil }
