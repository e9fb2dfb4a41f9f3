package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"peal/loadtest"
	"peal/loadtest/report"
)

// row is one setting, defined here only: its flag, its key in a scenario file, its
// entry in the JSON Schema and its line in docs/loadtest.md come from it. To add a setting,
// add a field to Settings, its default to Defaults, and a row to rows; then run
//
//	go test ./loadtest/scenario ./cmd/peal -run TestDocuments -update
//
// which writes docs/loadtest.schema.json and the table in docs/loadtest.md.
type row struct {
	name string // of the flag and the key
	to   any    // pointer into Settings; it points at the default, and its type is the setting's
	help string // one line
	of   string // scenarios that have it, "storm versus"; "-connect": all others; "": all
	is   trait
}

// trait is what else holds for a setting.
type trait uint8

const (
	secret trait = 1 << iota // printed without its value; in a file, ${NAME} is an environment variable
	isFile                   // the name of a file: in a scenario file, relative to its folder; "-" stays
	commas                   // a list that a comma divides
)

// rows are the settings, in the order of help and documents, bound to s.
func (s *Settings) rows() []row {
	return slices.Concat([]row{
		{"target", &s.Targets, "server to test: ws://…, peal+ws://…, sse+http://…, poll+http://…, or another server (docs/loadtest.md); several targets share the connections", "", 0},
		{"connections", &s.Connections, "number of subscribers", "", 0},
		{"channels", &s.Channels, "number of channels; each subscriber has one", "", 0},
		{"rate", &s.Rate, "messages per second in all channels together; in a ramp, of its first step", "-connect", 0},
		{"in-flight", &s.InFlight, "instead of a rate: number of messages in flight at a time, on one channel; the next is sent when every subscriber has received one", "fanout", 0},
		{"think", &s.Think, "with --in-flight: time between the arrival of a message at every subscriber and the next message", "fanout", 0},
		{"size", &s.Size, "size of a message in bytes", "-connect", 0},
		{"duration", &s.Duration, "time to publish; connect holds the connections; storm drops the clients after a third of it; restart stops the server after a third and kills it after two", "-ramp", 0},
		{"stage", list[loadtest.Stage]{&s.Stages, loadtest.ParseStage}, "instead of --rate and --duration: a rate for some time, like 30s:100/s, or a change of it, like 30s:100/s..1000/s; can be repeated", "fanout mixed storm restart soak versus", 0},
		{"warmup", &s.Warmup, "time to publish before the run, at its first rate; it is in no figure, except for the losses in it", "-connect", 0},
		{"publish", &s.Publish, "address to publish to, if it does not follow from the target: http://…{channel}… or ws://…", "", 0},
		{"cluster", &s.Cluster, "the targets are nodes that share a log: each message is published once, to the first node that takes connections, and subscribers whose node does not take them connect to the others", "fanout connect storm soak", 0},
		{"publish-key", &s.PublishKey, "key of a backend of a Peal (better PEAL_KEY), with which to publish; without it publications have the token; it is in no report", "-connect", secret},
		{"publishers", &s.Publishers, "connections that publish to each target; a channel stays on one (0: up to 8; a WebSocket for each channel)", "-connect", 0},
		{"pipeline", &s.Pipeline, "HTTP requests in flight on each connection that publishes; 1: the next is sent when the last was answered, and messages that are due wait, which counts as latency", "-connect", 0},
		{"header", &s.Header, "header line to add to every request: 'Name: value'", "", secret},
		{"secret", &s.Secret, "secret of a Pusher application, which signs publications; it is in no report", "-connect", secret},
	}, s.Speech.rows(), []row{
		{"ca", &s.CA, "file with the certificates (PEM) of the authorities to trust for TLS, instead of the system's", "", isFile},
		{"server-name", &s.ServerName, "name to ask for and to verify in TLS (default: the host of the target)", "", 0},
		{"cert", &s.Cert, "file with the client's certificate (PEM), for servers that require one", "", isFile},
		{"key", &s.Key, "file with the key of --cert (PEM); it is in no report", "", isFile},
		{"insecure", &s.Insecure, "accept any certificate of the server", "", 0},
		{"start", &s.Start, "command that starts the server, which is stopped afterwards: 'peal serve --listen {port}'; one for each target; {port} and {admin} stand for free ports, {addr} for 127.0.0.1:{port}, also in --target, --publish and --admin", "", 0},
		{"pid", &s.PID, "process of the server, whose CPU and memory are measured (default: the local process that listens on the target's port)", "", 0},
		{"admin", &s.Admin, "address of the server's metrics, like 127.0.0.1:8081: CPU and memory are read there, and the heap", "", commas},
		{"source", &s.Sources, "local addresses to connect from; each has about 28,000 ports per server", "", commas},
		{"agent", &s.Agents, "HOST:PORT of peal load agent, where subscribers run instead of on this machine; several share them", "", 0},
		{"agent-token-file", &s.AgentTokenFile, "file with the token that agents know", "", isFile},
		{"deflate", &s.Deflate, "offer to the server to compress WebSocket messages (permessage-deflate)", "", 0},
		{"reconnect", &s.Reconnect, "subscribers whose connection ends reconnect, with delays from the first to the maximum, like 100ms..5s; with factor and jitter 100ms..5s,2,0.5", "", 0},
		{"open-rate", &s.OpenRate, "connections to open per second; 0: as fast as possible", "", 0},
		{"open-timeout", &s.Timeout, "time limit for opening all connections", "", 0},
		{"idle", &s.Idle, "idle time before the memory of the server is read", "", 0},
		{"settle", &s.Settle, "time to wait for the last messages", "", 0},
		{"every", &s.Every, "length of an interval of the report", "", 0},
		{"gws", &s.GWS, "use the WebSocket client lxzan/gws for the subscribers: an independent check, for a quarter more CPU and 5.5 KB each", "", 0},
		{"away", &s.Away, "time before the dropped clients reconnect", "storm versus", 0},
		{"upgrade", &s.Upgrade, "instead of ending the server, have it upgraded while it serves: all targets are one server, and no client may be disconnected or lose anything", "restart", 0},
		{"upgrades", &s.Upgrades, "with --upgrade: how many times, in equal distances", "restart", 0},
		{"step", &s.Step, "duration of each rate", "ramp", 0},
		{"factor", &s.Factor, "factor from one rate to the next", "ramp", 0},
		{"max-rate", &s.MaxRate, "highest rate to try", "ramp", 0},
		{"turns", &s.Turns, "number of turns of each server", "versus", 0},
		{"mix", &s.Mix, "shares of WebSocket : SSE : long polling", "mixed", 0},
		{"fail-if", list[report.Objective]{&s.Objectives, report.ParseObjective}, "condition that makes the run fail with exit code 1, like 'p99>50ms' (metrics: " + strings.Join(report.Metrics(), " ") + ")", "", 0},
		{"abort-on-fail", &s.Abort, "end the run as soon as a --fail-if with > or >= is true of what is known; checked every --every", "fanout mixed storm soak", 0},
		{"json", &s.Out.JSON, "file for the report as JSON; - writes to standard output", "", isFile},
		{"csv", &s.Out.CSV, "file for the intervals as CSV", "", isFile},
		{"csv-stages", &s.Out.StagesCSV, "file for the figures of the stages as CSV", "fanout mixed storm restart soak versus", isFile},
		{"hgrm", &s.Out.Hgrm, "file for the percentiles of the latency, in the format of HdrHistogram plotters", "", isFile},
		{"html", &s.Out.HTML, "file for an HTML page with charts", "", isFile},
		{"junit", &s.Out.JUnit, "file for the objectives as JUnit XML: a test case each, and one for the validity of the run", "", isFile},
		{"openmetrics", &s.Out.OpenMetrics, "file for the results in the text format of OpenMetrics", "", isFile},
		{"max-lag", &s.Limits.Lag, "the run is valid only if each delay of the generator itself (the lag of its sending, its waiting for processors) is at most this share of the reported p99, or 1 ms", "", 0},
		{"max-cpu", &s.Limits.CPU, "the run is valid only if the generator used at most this share of its CPU", "", 0},
		{"min-sent", &s.Limits.Sent, "the run is valid only if at least this share of the schedule was sent", "", 0},
	})
}

// has reports whether the scenario has the setting; "" has all.
func (r *row) has(scenario string) bool {
	if others, ok := strings.CutPrefix(r.of, "-"); ok {
		return others != scenario
	}
	return r.of == "" || scenario == "" || slices.Contains(strings.Fields(r.of), scenario)
}

// scenarios are those that have the setting, as a text.
func (r *row) scenarios() string {
	if others, ok := strings.CutPrefix(r.of, "-"); ok {
		return "all but " + others
	}
	return strings.ReplaceAll(r.of, " ", ", ")
}

// Flags are the settings of a scenario, of all for "", bound to s, whose values are
// the defaults.
func Flags(s *Settings, scenario string) *pflag.FlagSet {
	f := pflag.NewFlagSet(scenario, pflag.ContinueOnError)
	f.SortFlags = false
	for _, r := range s.rows() {
		if !r.has(scenario) {
			continue
		}
		switch to := r.to.(type) {
		case *string:
			f.StringVar(to, r.name, *to, r.help)
		case *int:
			f.IntVar(to, r.name, *to, r.help)
		case *float64:
			f.Float64Var(to, r.name, *to, r.help)
		case *bool:
			f.BoolVar(to, r.name, *to, r.help)
		case *time.Duration:
			f.DurationVar(to, r.name, *to, r.help)
		case *[]string:
			if r.is&commas != 0 {
				f.StringSliceVar(to, r.name, *to, r.help)
			} else {
				f.StringArrayVar(to, r.name, *to, r.help)
			}
		case *[]int:
			f.IntSliceVar(to, r.name, *to, r.help)
		case pflag.Value:
			f.Var(to, r.name, r.help)
		default:
			panic(fmt.Sprintf("setting %s: %T has no flag", r.name, r.to))
		}
		if r.of != "" {
			_ = f.SetAnnotation(r.name, "scenarios", []string{r.scenarios()}) // the flag is there
		}
	}
	return f
}

// list is a setting of several values, each given as a text.
type list[T fmt.Stringer] struct {
	to   *[]T
	read func(string) (T, error)
}

func (l list[T]) Type() string { return "stringArray" }

func (l list[T]) String() string { return strings.Join(l.GetSlice(), " ") }

// Set adds one.
func (l list[T]) Set(text string) error {
	v, err := l.read(text)
	if err == nil {
		*l.to = append(*l.to, v)
	}
	return err
}

// GetSlice returns the texts.
func (l list[T]) GetSlice() []string {
	texts := []string{}
	for _, v := range *l.to {
		texts = append(texts, v.String())
	}
	return texts
}

// Mix is shares of WebSocket, SSE and long polling: "6:3:1".
type Mix [3]int

func (m *Mix) Type() string { return "string" }

func (m *Mix) String() string { return fmt.Sprintf("%d:%d:%d", m[0], m[1], m[2]) }

// Set reads shares that are not all 0.
func (m *Mix) Set(text string) error {
	n, err := fmt.Sscanf(text+"\n", "%d:%d:%d\n", &m[0], &m[1], &m[2])
	if n != 3 || err != nil || min(m[0], m[1], m[2]) < 0 || m[0]+m[1]+m[2] == 0 {
		return errors.New("must be like 6:3:1")
	}
	return nil
}
