package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// Settings say what to run. Zero values are not defaults: see Defaults.
type Settings struct {
	Targets     []string
	Publish     []string         // one for each target; none: what follows from it
	Header      []string         // "Name: value", of every request
	CA, Cert    string           // files in PEM: the authorities for TLS, and the client's certificate
	Key         string           // file: its key
	ServerName  string           // of TLS; default: the host of each target
	Insecure    bool             // any certificate is good
	Connections int              // divided among the targets
	Channels    int              // each connection has one; messages go round them
	Rate        float64          // messages a second, in all channels together
	Stages      []loadtest.Stage // instead of Rate and Duration, which are then their mean and sum
	Warmup      time.Duration    // before the figures begin
	Think       time.Duration    // with InFlight: before the next message
	Abort       bool             // end as soon as an objective is missed
	InFlight    int              // of fanout: messages under way at a time, instead of a rate; 0: the rate
	Size        int              // bytes of a message, at least loadtest.StampBytes
	Duration    time.Duration
	Settle      time.Duration // how long to wait for the last messages
	Idle        time.Duration // how long the server rests before its memory is read
	Sources     []string      // local addresses, gone round by the worker processes
	Cluster     bool          // the targets are nodes that share a log
	PublishKey  string        // of a backend of a Peal; in no report
	Publishers  int           // connections that publish to each target; 0: up to 8, or a WebSocket for each channel
	Pipeline    int           // requests in flight on each of them
	Reconnect   string        // how clients come back, see loadtest.ParseBackoff; "": not at all
	Deflate     bool          // WebSockets offer permessage-deflate
	OpenRate    float64       // connections a second; 0: as fast as it goes
	Timeout     time.Duration // for opening all connections
	GWS         bool          // subscribers are lxzan/gws

	Agents         []string // addresses of agents, gone round by the worker processes; none: this machine
	AgentTokenFile string

	Speech // what the servers speak that are not Peal

	// Start is one command for each target: the experiment starts it, and ends it.
	// In it, in the targets, in Publish and in Admin {port} stands for a free port,
	// {admin} for another.
	Start []string
	PID   []int    // one for each target
	Admin []string // one for each target

	Objectives []report.Objective
	Limits     report.Limits

	Mix      Mix           // of mixed
	Away     time.Duration // of storm
	Upgrade  bool          // of restart
	Upgrades int           // of restart, with Upgrade
	Step     time.Duration // of ramp: how long one rate
	Factor   float64       // of ramp: from one rate to the next
	MaxRate  float64       // of ramp
	Turns    int           // of versus
	Out      Out           // of the command: Run writes nothing
	Version  string        // of peal
	Every    time.Duration // between samples
	Progress func(Progress)

	// Slow makes the pacer late on purpose, by so much for each message. Tests
	// prove with it that a late run is found invalid.
	Slow time.Duration
}

// Out are the files for the report; "": none.
type Out struct{ JSON, CSV, StagesCSV, Hgrm, HTML, JUnit, OpenMetrics string }

// Progress is the state of a run that goes on.
type Progress struct {
	Text  string           // what begins now; otherwise
	Now   *report.Interval // the newest interval
	Rate  float64          // that is meant
	Total time.Duration
}

// durations are those of the scenarios that have another than the default.
var durations = map[string]time.Duration{"connect": time.Second, "soak": time.Hour}

// Defaults are useful against a Peal on this machine.
func Defaults() Settings {
	return Settings{
		Targets: []string{loadtest.DefaultTarget}, Connections: 1000, Channels: 1, Pipeline: 1, Rate: 20, Size: 128, Duration: 10 * time.Second,
		Settle: 5 * time.Second, Idle: time.Second, Timeout: time.Minute, Limits: report.DefaultLimits,
		Mix: Mix{1, 1, 1}, Away: time.Second, Upgrades: 1, Step: 3 * time.Second, Factor: 1.5, MaxRate: 100_000, Turns: 5, Every: time.Second,
	}
}

// DefaultsOf are the defaults of a scenario.
func DefaultsOf(name string) Settings {
	s := Defaults()
	s.Duration = cmp.Or(durations[name], s.Duration)
	return s
}

// scenario is one kind of run.
type scenario struct {
	name, about string
	run         func(*experiment) (*report.Report, error)
	measures    []report.Need
}

var all = []scenario{
	{"fanout", "publishes at a rate to the subscribers of some channels", (*experiment).fanout, []report.Need{report.NeedsMessages}},
	{"connect", "opens connections: how fast, how many, and what they cost", (*experiment).connect, nil},
	{"mixed", "fanout over WebSocket, server-sent events and long polling at once", (*experiment).mixed, []report.Need{report.NeedsMessages}},
	{"storm", "drops all clients, which reconnect with their cursors", (*experiment).storm, []report.Need{report.NeedsMessages, report.NeedsStorm}},
	{"restart", "stops, kills and restarts the server, or upgrades it, and counts what is lost", (*experiment).restart, []report.Need{report.NeedsMessages, report.NeedsStorm, report.NeedsUpgrades}},
	{"ramp", "raises the rate until an objective is missed", (*experiment).ramp, []report.Need{report.NeedsMessages}},
	{"soak", "fanout for a long time: growth of memory and descriptors", (*experiment).soak, []report.Need{report.NeedsMessages, report.NeedsSoak}},
	{"versus", "the same load on two servers in turns", (*experiment).versus, []report.Need{report.NeedsMessages}},
}

// Names are the scenarios', each with a sentence.
func Names() (names, about []string) {
	for _, s := range all {
		names, about = append(names, s.name), append(about, s.about)
	}
	return names, about
}

func scenarios() []string {
	names, _ := Names()
	return names
}

// ErrUsage means that the settings cannot be run.
var ErrUsage = errors.New("cannot be run")

// Run runs one scenario. The end of ctx ends it early, with a report. An error
// is ErrUsage, with what to change, or says why nothing could be measured.
func Run(ctx context.Context, name string, s Settings) (*report.Report, error) {
	i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: no scenario %q", ErrUsage, name)
	}
	s.follow()
	e := &experiment{name: name, s: s, soft: ctx, ctx: context.WithoutCancel(ctx)}
	if err := e.place(); err != nil {
		return nil, err
	}
	if err := e.check(all[i]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	defer e.stopServers()
	if err := e.startServers(); err != nil {
		return nil, err
	}
	return all[i].run(e)
}

// check names all mistakes, and resolves the targets.
func (e *experiment) check(sc scenario) error {
	s, faults := &e.s, []error(nil)
	must := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	must(s.Connections >= 1, "--connections %d: at least 1", s.Connections)
	must(s.Channels >= 1 && s.Channels <= s.Connections, "--channels %d: from 1 to the number of connections, %d", s.Channels, s.Connections)
	must(s.Rate > 0, "--rate %v: more than 0", s.Rate)
	must(len(s.Stages) <= maxStages, "--stage: %d, at most %d", len(s.Stages), maxStages)
	must(s.InFlight == 0 || len(s.Stages) == 0, "--in-flight: not with --stage, since each message waits for those before it")
	must(s.Think == 0 || s.Think > 0 && s.InFlight > 0, "--think: not below 0, and only with --in-flight")
	must(s.Warmup >= 0, "--warmup %v: not below 0", s.Warmup)
	must(s.InFlight == 0 || s.InFlight > 0 && s.Channels == 1 && sc.name == "fanout", "--in-flight %d: at least 1, with one channel, in fanout", s.InFlight)
	must(s.Size >= loadtest.StampBytes, "--size %d: at least %d, since each message carries the time of its sending", s.Size, loadtest.StampBytes)
	must(s.Duration > 0 && s.Timeout > 0 && s.Every > 0, "--duration, --open-timeout, --every: more than 0")
	must(s.Settle >= 0 && s.Idle >= 0 && s.Away >= 0 && s.OpenRate >= 0 && s.Expect >= 0, "--settle, --idle, --away, --open-rate, --expect-timeout: not below 0")
	must(s.Publishers >= 0 && s.Pipeline >= 1, "--publishers %d, --pipeline %d: not below 0, not below 1", s.Publishers, s.Pipeline)
	must(s.Factor > 1 && s.Step > 0, "--factor %v, --step %v: more than 1, more than 0", s.Factor, s.Step)
	must(len(s.Targets) >= 1, "--target: at least one")
	must(len(s.Start) > 0 || !strings.Contains(strings.Join(s.Targets, ""), "{addr}"), "--target with {addr}: needs --start 'COMMAND {port}'")
	var err error
	if e.agentToken, err = loadtest.ReadAgentToken(s.AgentTokenFile); err != nil {
		faults = append(faults, err)
	}
	must(len(s.Publish) == 0 || len(s.Publish) == len(s.Targets), "--publish: one for each target")
	must(len(s.PID) <= len(s.Targets) && len(s.Admin) <= len(s.Targets), "--pid, --admin: at most one for each target")
	upgrade := sc.name == "restart" && s.Upgrade
	must(len(s.Start) == 0 || len(s.Start) == len(s.Targets) || upgrade && len(s.Start) == 1, "--start: one for each target")
	must(len(s.Start) == 0 || len(s.PID) == 0, "--pid: not with --start, which knows the process")
	must(!upgrade || len(s.Start)+len(s.PID)+len(s.Admin) > 0, "restart --upgrade: needs --admin, --start or --pid: the server is asked by its admin listener, or its process by SIGUSR2")
	must(!upgrade || s.Upgrades >= 1, "--upgrades %d: at least 1", s.Upgrades)
	must(!upgrade || s.Reconnect == "", "restart --upgrade: without --reconnect, since a client that has to reconnect was disconnected")
	must(sc.name != "restart" || upgrade || len(s.Start) == 1 && len(s.Targets) == 1, "restart: one --target, and --start 'peal serve --listen {port}', since it stops the server")
	must(sc.name != "versus" || len(s.Targets) == 2 && s.Turns > 0, "versus: two --target, and --turns more than 0")
	for _, o := range s.Objectives {
		need := o.Needs()
		can := need == report.NeedsConnections || need == report.NeedsServer || slices.Contains(sc.measures, need)
		must(can, "objective %s: %s does not measure it", o.Text, sc.name)
		must(o.Stage <= len(s.Stages), "objective %s: there are %d stages, see --stage", o.Text, len(s.Stages))
		must(need != report.NeedsServer && need != report.NeedsSoak || len(s.PID)+len(s.Admin)+len(s.Start) > 0,
			"objective %s: needs --pid, --admin or --start, which measure what the server holds", o.Text)
	}
	must(!s.GWS || len(s.Header) == 0 && s.OpenRate == 0 && sc.name != "storm" && sc.name != "restart" && sc.name != "mixed" && sc.name != "versus",
		"--gws: for fanout, connect, ramp and soak, without --header and --open-rate")
	must(sc.name != "soak" || s.Duration >= slopeIntervals*s.Every, "soak: --duration %v: at least %d times --every %v, for a slope", s.Duration, slopeIntervals, s.Every)
	must(sc.name != "soak" || len(s.PID)+len(s.Admin)+len(s.Start) > 0, "soak: needs --pid, --admin or --start, which measure what the server holds")
	if s.Reconnect != "" {
		var err error
		e.backoff, err = loadtest.ParseBackoff(s.Reconnect)
		must(err == nil, "--reconnect %v", err)
	}
	trust := &loadtest.TLS{ServerName: s.ServerName, Insecure: s.Insecure}
	if err := trust.Read(s.CA, s.Cert, s.Key); err != nil {
		faults = append(faults, err)
	}
	must(len(s.Files) <= 1 || len(s.Files) == len(s.Targets), "--dialect: one for all targets, or one for each")
	data, err := s.data()
	if err != nil {
		faults = append(faults, err)
	}
	for i, text := range s.Targets {
		spoken, err := s.of(i)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		t, err := loadtest.ParseTarget(e.soft, text, spoken, data)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		t.Trust(trust)
		for _, a := range s.Agents {
			host, _, err := net.SplitHostPort(a)
			must(err == nil, "--agent %s: must be HOST:PORT", a)
			must(err != nil || !t.Local() || host == "localhost" || net.ParseIP(host).IsLoopback(), "target %q: agent %s cannot reach it, name an address of this machine in the agents' network", text, a)
		}
		must(sc.name != "mixed" || t.Peal(), "mixed: target %q must be a Peal server", text)
		must(!s.GWS || t.Transport == loadtest.WebSocket && t.Protocol == "" && t.Format != loadtest.JSON && t.Dialect == nil && !data.Given(),
			"--gws: target %q must be ws:// with raw messages, without --token (also PEAL_TOKEN) and --data", text)
		must(t.Dialect == nil || t.Dialect.Code != "pusher" || s.Secret != "" || sc.name == "connect", "target %q: needs --secret, the secret of the application", text)
		e.targets = append(e.targets, t)
	}
	must(!s.Cluster || len(s.Agents) == 0 && !s.GWS, "--cluster: without --agent and --gws")
	if s.Cluster && len(faults) == 0 {
		loadtest.Cluster(e.targets)
	}
	return errors.Join(faults...)
}
