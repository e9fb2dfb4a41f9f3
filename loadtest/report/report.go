package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"peal/loadtest"
	"peal/loadtest/dialect"
)

// Schema is the number of the JSON form.
const Schema = 2

// Report is one run, or several under one heading. What was not measured is nil.
type Report struct {
	Schema      int         `json:"schema"`
	Scenario    string      `json:"scenario"`
	Name        string      `json:"name,omitempty"` // of a side of versus
	Began       time.Time   `json:"began"`
	Interrupted bool        `json:"interrupted"`       // ended before its time, by the user
	Aborted     string      `json:"aborted,omitempty"` // why it ended before its time, if not by the user
	Ended       string      `json:"ended,omitempty"`   // the missed objective that ended it before its time
	Environment Environment `json:"environment"`
	Settings    Settings    `json:"settings"`

	Connections Connections `json:"connections"`
	Messages    *Messages   `json:"messages"`
	Latency     *Times      `json:"latency"`           // from the scheduled send to the arrival; lost messages last
	Lag         *Times      `json:"lag"`               // from the scheduled send to the real one
	WarmUp      *Stage      `json:"warm_up,omitempty"` // published before the run, and in no other figure
	Stages      []Stage     `json:"stages,omitempty"`
	Server      *Server     `json:"server"`
	Generator   Generator   `json:"generator"`
	Unread      string      `json:"unread,omitempty"` // what could not be read first
	Validity    Validity    `json:"validity"`
	Objectives  []Judged    `json:"objectives"`
	Intervals   []Interval  `json:"intervals"`
	Storm       *Storm      `json:"storm,omitempty"`
	Restart     *Restart    `json:"restart,omitempty"`
	Upgrades    *Upgrades   `json:"upgrades,omitempty"`
	Ramp        *Ramp       `json:"ramp,omitempty"`
	Soak        *Soak       `json:"soak,omitempty"`
	Sides       []*Report   `json:"sides,omitempty"` // of versus
	Turns       []*Report   `json:"turns,omitempty"` // of a side: the runs that it sums up
}

// Environment is where the generator ran.
type Environment struct {
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Load   string `json:"load_test"` // the version of peal
}

// Settings is what was asked for.
type Settings struct {
	Targets     []string `json:"targets"`
	Publish     []string `json:"publish"`
	Start       []string `json:"start,omitempty"`
	Connections int      `json:"connections"`
	Channels    int      `json:"channels"`
	Rate        float64  `json:"rate_per_s"`       // with stages, their mean
	Stages      []string `json:"stages,omitempty"` // "30s:100/s"
	Size        int      `json:"size_bytes"`
	Duration    float64  `json:"duration_s"`

	Dialects []*dialect.Dialect `json:"dialects,omitempty"` // of the targets that have one, in their order
	Data     string             `json:"data,omitempty"`     // the file of what the placeholders stand for
}

// servers are the targets, and how they were started.
func (s *Settings) servers() string {
	text := strings.Join(s.Targets, " ")
	for _, command := range s.Start {
		text += " (" + command + ")"
	}
	return text
}

// Connections is how opening went.
type Connections struct {
	Wanted      int            `json:"wanted"`
	Opened      int            `json:"opened"`
	Failed      int            `json:"failed"`
	Closed      int            `json:"closed"`               // after they were opened
	Unreadable  int            `json:"unreadable,omitempty"` // whose server the load test could not read: what they lack is not lost
	FirstError  string         `json:"first_error,omitempty"`
	Ends        []loadtest.End `json:"ends,omitempty"` // why connections failed or were closed, at most 16 reasons and "others"
	Took        float64        `json:"took_s"`
	Handshake   *Times         `json:"handshake"`
	Reconnected *Times         `json:"reconnected,omitempty"` // from the end of a connection until the client was subscribed again; with --reconnect
	Deflated    *int           `json:"deflated,omitempty"`    // with permessage-deflate; nil: not offered
}

// Messages is what was sent and what became of it.
type Messages struct {
	Scheduled    uint64         `json:"scheduled"`
	Sent         uint64         `json:"sent"`
	Refused      uint64         `json:"refused"`              // by the server, or not answered; their deliveries are lost, but in a restart
	Unanswered   uint64         `json:"unanswered"`           // of those, written and not answered: the server may have taken them
	Unreadable   uint64         `json:"unreadable,omitempty"` // of those, with a response that the load test could not read
	FirstRefusal string         `json:"first_refusal,omitempty"`
	Refusals     []loadtest.End `json:"refusals,omitempty"` // of each target: why, at most 16 reasons and "others"
	loadtest.Counts
	FirstDamage   string  `json:"first_damage,omitempty"`  // what was wrong with the first damaged message
	FirstForeign  string  `json:"first_foreign,omitempty"` // the first foreign message, quoted, at most 200 bytes of it
	Gaps          uint64  `json:"gaps"`                    // notices that messages are gone
	SentRate      float64 `json:"sent_per_s"`
	DeliveredRate float64 `json:"delivered_per_s"`
	ReadBytes     uint64  `json:"read_bytes"` // by the subscribers

	CompressedBytes uint64 `json:"compressed_bytes,omitempty"` // of those: messages of permessage-deflate
	InflatedBytes   uint64 `json:"inflated_bytes,omitempty"`   // what they were before
}

// Server is the process under test.
type Server struct {
	PID                    int      `json:"pid,omitempty"`
	Admin                  string   `json:"admin,omitempty"`
	CPU                    float64  `json:"cpu_s"` // while messages were sent and arrived
	OpenCPU                float64  `json:"open_cpu_s"`
	DeliveriesPerCPUSecond *float64 `json:"deliveries_per_cpu_s"`
	BytesPerConnection     *float64 `json:"bytes_per_connection"` // resident, idle, against before they were opened
	ResidentBefore         uint64   `json:"resident_before_bytes"`
	ResidentIdle           uint64   `json:"resident_idle_bytes"`
	ResidentPeak           uint64   `json:"resident_peak_bytes"` // of the samples
	Heap                   *uint64  `json:"heap_bytes"`          // at the end; with --admin
	Sockets                *uint64  `json:"socket_bytes"`        // of the whole machine, both ends of a connection; with --pid
	Descriptors            *int     `json:"descriptors"`         // at the end
}

// Generator is this side's own cost.
type Generator struct {
	Processes     int       `json:"processes"`
	CPU           float64   `json:"cpu_s"`
	Wait          float64   `json:"wait_s"` // for a processor: runnable, and not running
	Each          []Process `json:"each"`   // the process that publishes first
	Machine       Machine   `json:"machine"`
	Waits         *Times    `json:"waits"`     // for each delivery, how long the process that receives it waited for a processor
	CPUShare      *float64  `json:"cpu_share"` // of what it could have had: see docs/loadtest.md
	PerDelivery   *float64  `json:"cpu_us_per_delivery"`
	PerConnection *float64  `json:"bytes_per_connection"`
	Clocks        []Clock   `json:"clocks,omitempty"` // of workers at agents
}

// Clock is what is known of the clock of a worker at an agent.
type Clock struct {
	Agent       string  `json:"agent"`
	Uncertainty float64 `json:"uncertainty_ms"` // its latencies are right to within this
	Drift       float64 `json:"drift_ppm"`
}

// Process is one of the generator's.
type Process struct {
	PID   int     `json:"pid"`
	Agent string  `json:"agent,omitempty"` // where it ran; "": on this machine
	CPU   float64 `json:"cpu_s"`
	Wait  float64 `json:"wait_s"`
}

// Machine is what the generator's machine did meanwhile.
type Machine struct {
	Busy   float64 `json:"busy_s"`       // of all processors
	Steal  float64 `json:"steal_s"`      // kept from it by its host
	Others float64 `json:"others_s"`     // of programs that are neither the server nor the generator, as far as they are known
	Part   float64 `json:"others_share"` // of the generator's waiting, that which those and the host caused
}

func (m *Machine) join(o Machine) {
	m.Busy, m.Steal, m.Others, m.Part = m.Busy+o.Busy, m.Steal+o.Steal, m.Others+o.Others, max(m.Part, o.Part)
}

// Interval is a piece of a run, about a second.
type Interval struct {
	At            float64  `json:"at_s"` // its end
	Sent          uint64   `json:"sent"`
	Delivered     uint64   `json:"delivered"`
	Connections   int      `json:"connections"`
	P50           *float64 `json:"p50_ms"`
	P99           *float64 `json:"p99_ms"`
	Max           *float64 `json:"max_ms"`
	GeneratorCPU  float64  `json:"generator_cores"`
	GeneratorWait float64  `json:"generator_waiting"` // threads that waited for a processor, on average
	Steal         float64  `json:"steal_cores"`
	ServerCPU     *float64 `json:"server_cores"`
	Resident      *uint64  `json:"server_resident_bytes"`
	Descriptors   *int     `json:"server_descriptors"`
}

// Storm is how the clients came back after all were dropped.
type Storm struct {
	At          float64 `json:"at_s"`
	Away        float64 `json:"away_s"`
	Back        int     `json:"back"`
	Failed      int     `json:"failed"`
	BackTook    float64 `json:"back_took_s"` // until the last was subscribed again
	Recovery    *Times  `json:"recovery"`    // from the drop until a client was back and had all it missed
	Unrecovered int     `json:"unrecovered"`
	Lost        uint64  `json:"lost"`       // deliveries, in the whole run
	Cursorless  bool    `json:"cursorless"` // clients came back to what is new, not from where they were
}

// Restart is what came of ending the server and starting it again.
type Restart struct {
	Ends        []End  `json:"ends"`
	Recovery    *Times `json:"recovery"` // from the end of a connection until its client was back and had all it missed
	Unrecovered int    `json:"unrecovered"`
	Refused     uint64 `json:"refused"`    // messages that the server refused, or was not there for
	Unanswered  uint64 `json:"unanswered"` // messages written and not answered
	Lost        uint64 `json:"lost"`       // deliveries of what the server had acknowledged, in the whole run
	Gaps        uint64 `json:"gaps"`       // notices that messages are gone
	Cursorless  bool   `json:"cursorless"` // clients came back to what is new, not from where they were
}

// End is one end of the server.
type End struct {
	At     float64 `json:"at_s"`
	Asked  bool    `json:"asked"`  // by SIGTERM
	Killed bool    `json:"killed"` // by SIGKILL: at once, or because it did not end within 10 s
	Down   float64 `json:"down_s"` // from the signal until it accepted again
}

// Upgrades is what came of upgrading the server while it served.
type Upgrades struct {
	Before      Pause     `json:"before"` // the first of them
	Each        []Upgrade `json:"each"`
	Disconnects int       `json:"disconnects"` // in the whole run: of subscribers and publishers, also between two requests
	Gaps        uint64    `json:"gaps"`        // notices that messages are gone
	Deliveries  *Times    `json:"deliveries"`  // behind the first one: see Pause
	Publishers  *Times    `json:"publishers"`
}

// Upgrade is one of them, and what was seen until the next one.
type Upgrade struct {
	At   float64 `json:"at_s"`
	Took float64 `json:"took_s"` // from the request until the new process served
	PID  int     `json:"pid,omitempty"`
	Said string  `json:"said,omitempty"` // by the server
	Pause
}

// Pause is how clients were kept waiting in a part of a run.
type Pause struct {
	Deliveries  *Times `json:"deliveries"`  // from the scheduled send to the arrival
	Publishers  *Times `json:"publishers"`  // from when a message was ready to its response; over HTTP only
	Disconnects int    `json:"disconnects"` // see Upgrades
	Duplicated  uint64 `json:"duplicated"`
	Reordered   uint64 `json:"reordered"`
	Gaps        uint64 `json:"gaps"`
}

// late returns when the server accepted again, and when the next step was due, of
// the first restart that left its clients less than a tenth of the run to recover
// in; 0 and 0 if there is none. The steps are the thirds of the run.
func (r *Restart) late(duration float64) (back, until float64) {
	if r == nil {
		return 0, 0
	}
	for i, e := range r.Ends {
		back, until = e.At+e.Down, duration*float64(i+2)/3
		if back > until-duration/10 {
			return back, until
		}
	}
	return 0, 0
}

// Ramp is the rates that were tried.
type Ramp struct {
	Carries   float64 `json:"carries_per_s"` // the highest rate that held
	LimitedBy string  `json:"limited_by"`    // the objective that broke, "generator", "max-rate", "interrupted" or "aborted"
	Knee      float64 `json:"knee_per_s"`    // the rate from which p99 grows faster than the rate; 0: it does not
	Steps     []Step  `json:"steps"`
}

// bend is how far, of the whole, the curve of p99 must be below a straight line to
// have a knee.
const bend = 0.2

// FindKnee sorts the steps by their rates and fills in the knee: the rate at which the
// curve of p99 is farthest below the line from its first to its last point.
func (r *Ramp) FindKnee() {
	slices.SortFunc(r.Steps, func(a, b Step) int { return cmp.Compare(a.Rate, b.Rate) })
	var with []Step // a p99
	for _, s := range r.Steps {
		if s.P99 != nil {
			with = append(with, s)
		}
	}
	if len(with) < 3 {
		return
	}
	first, last := with[0], with[len(with)-1]
	for deepest, i := bend, 1; i < len(with)-1; i++ {
		x := (with[i].Rate - first.Rate) / (last.Rate - first.Rate)
		y := (*with[i].P99 - *first.P99) / (*last.P99 - *first.P99)
		if *last.P99 > *first.P99 && x-y > deepest {
			deepest, r.Knee = x-y, with[i].Rate
		}
	}
}

// Step is one rate.
type Step struct {
	Rate         float64  `json:"rate_per_s"`
	P50          *float64 `json:"p50_ms"`
	P99          *float64 `json:"p99_ms"`
	Max          *float64 `json:"max_ms"`
	Lost         uint64   `json:"lost"`
	Delivered    float64  `json:"delivered_per_s"`
	ServerCPU    *float64 `json:"server_cores"`
	GeneratorCPU *float64 `json:"generator_cpu_share"`
	Broke        string   `json:"broke,omitempty"` // an objective, or why the step is not valid
}

// Soak is how memory and descriptors went, over all but the first tenth.
type Soak struct {
	MemorySlope      float64  `json:"memory_slope_bytes_per_h"`
	DescriptorsSlope *float64 `json:"descriptors_slope_per_h"`
}

// Times is a distribution of durations. Milliseconds; nil: such a message never
// came.
type Times struct {
	Count     int64             `json:"count"`
	Mean      float64           `json:"mean_ms"`
	P50       *float64          `json:"p50_ms"`
	P90       *float64          `json:"p90_ms"`
	P95       *float64          `json:"p95_ms"`
	P99       *float64          `json:"p99_ms"`
	P999      *float64          `json:"p99_9_ms"`
	Max       *float64          `json:"max_ms"`
	Histogram *loadtest.Latency `json:"histogram"` // HdrHistogram V2, compressed, base64; nanoseconds
}

// NewTimes describes l, which it keeps. It returns nil for an empty l.
func NewTimes(l *loadtest.Latency) *Times {
	if l == nil || l.Count() == 0 {
		return nil
	}
	q := func(q float64) *float64 { return Ms(l.Quantile(q)) }
	return &Times{Count: l.Count(), Mean: l.Mean().Seconds() * 1e3,
		P50: q(0.5), P90: q(0.9), P95: q(0.95), P99: q(0.99), P999: q(0.999), Max: Ms(l.Max()), Histogram: l}
}

// Ms is d in milliseconds, nil for that of a lost message.
func Ms(d time.Duration) *float64 {
	if d >= loadtest.Never {
		return nil
	}
	ms := math.Round(d.Seconds()*1e6) / 1e3
	return &ms
}

// Errors is how many things went wrong that are no message's loss: connections
// that did not open, or that the server closed, and publications it refused.
func (r *Report) Errors() uint64 {
	n := uint64(r.Connections.Failed + r.Connections.Closed)
	if back := r.Connections.Reconnected; back != nil { // not lasting; the loss is counted as such
		n -= min(n, uint64(back.Count))
	}
	if r.Messages != nil {
		n += r.Messages.Refused
	}
	return n
}

// Join adds another run of the same: counts and histograms exactly. What has no
// sum is the later run's, or the worse; intervals follow one another.
func (r *Report) Join(other *Report) error {
	for _, pair := range []struct {
		into **Times
		from *Times
	}{{&r.Latency, other.Latency}, {&r.Lag, other.Lag}, {&r.Connections.Handshake, other.Connections.Handshake}, {&r.Generator.Waits, other.Generator.Waits}} {
		if err := joinTimes(pair.into, pair.from); err != nil {
			return err
		}
	}
	for k := range min(len(r.Stages), len(other.Stages)) {
		if err := r.Stages[k].join(other.Stages[k]); err != nil {
			return err
		}
	}
	r.Connections.Failed += other.Connections.Failed
	r.Connections.Closed += other.Connections.Closed
	r.Connections.Opened = min(r.Connections.Opened, other.Connections.Opened)
	r.Connections.Unreadable += other.Connections.Unreadable
	for _, e := range other.Connections.Ends {
		r.Connections.Ends = loadtest.AddEnd(r.Connections.Ends, e)
	}
	r.Interrupted = r.Interrupted || other.Interrupted
	r.Aborted, r.Unread = cmp.Or(r.Aborted, other.Aborted), cmp.Or(r.Unread, other.Unread)
	r.Messages.join(other.Messages)
	r.Generator.CPU += other.Generator.CPU
	r.Generator.Wait += other.Generator.Wait
	r.Generator.Machine.join(other.Generator.Machine)
	if share := other.Generator.CPUShare; share != nil && (r.Generator.CPUShare == nil || *share > *r.Generator.CPUShare) {
		r.Generator.CPUShare = share
	}
	if s, o := r.Server, other.Server; s != nil && o != nil {
		s.CPU += o.CPU
		s.ResidentPeak = max(s.ResidentPeak, o.ResidentPeak)
		if s.CPU > 0 && r.Messages != nil {
			per := float64(r.Messages.Delivered) / s.CPU
			s.DeliveriesPerCPUSecond = &per
		}
		// Bytes per connection stay the first turn's: a server keeps what it has
		// grown to.
	}
	offset := 0.0
	if n := len(r.Intervals); n > 0 {
		offset = r.Intervals[n-1].At
	}
	for _, i := range other.Intervals {
		i.At += offset
		r.Intervals = append(r.Intervals, i)
	}
	return nil
}

// joinTimes adds a distribution to another. Each may be nil: then it is the other.
func joinTimes(into **Times, from *Times) error {
	switch {
	case from == nil:
		return nil
	case *into == nil:
		*into = from
		return nil
	}
	err := (*into).Histogram.Merge(from.Histogram)
	*into = NewTimes((*into).Histogram)
	return err
}

func (m *Messages) join(o *Messages) {
	if m == nil || o == nil {
		return
	}
	m.Scheduled += o.Scheduled
	m.Sent += o.Sent
	m.Refused += o.Refused
	m.Unanswered += o.Unanswered
	m.Unreadable += o.Unreadable
	m.Gaps += o.Gaps
	for _, e := range o.Refusals {
		m.Refusals = loadtest.AddEnd(m.Refusals, e)
	}
	m.Counts.Add(o.Counts)
	m.SentRate = (m.SentRate + o.SentRate) / 2
	m.DeliveredRate = (m.DeliveredRate + o.DeliveredRate) / 2
	m.ReadBytes += o.ReadBytes
	m.FirstForeign = cmp.Or(m.FirstForeign, o.FirstForeign)
	m.FirstRefusal, m.FirstDamage = cmp.Or(m.FirstRefusal, o.FirstRefusal), cmp.Or(m.FirstDamage, o.FirstDamage)
}

// Write writes r as JSON.
func (r *Report) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Read reads what Write wrote.
func Read(from io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(from).Decode(&r); err != nil {
		return nil, fmt.Errorf("not a report of peal load: %w", err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("the report has schema %d, this version of peal reads schema %d: use the version that wrote it", r.Schema, Schema)
	}
	return &r, nil
}
