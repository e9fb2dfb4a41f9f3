package main

import (
	"context"
	"strings"

	"peal/bench"
	"peal/bench/record"
)

// experiments are those that were asked for.
func (o *options) experiments() []bench.Experiment {
	if o.memory {
		return o.config.MemoryExperiments()
	}
	return o.config.Experiments()
}

// newRecord says what is known before measuring; nil without --json.
func (o *options) newRecord(ctx context.Context, args []string) (*record.Record, error) {
	if o.json == "" {
		return nil, nil
	}
	e, err := record.Capture(ctx)
	r := &record.Record{Schema: record.Schema, Name: o.name(), Quick: o.short, Command: commandLine(args), Environment: e}
	r.Sizes = &record.Sizes{Subscribers: o.config.Subscribers, Idle: o.config.Many, Length: o.config.Length.Seconds()}
	servers := []bench.Launcher{o.config.Peal}
	if o.name() == "ceiling" {
		servers = append(servers, o.config.Ceiling)
	}
	for _, l := range servers {
		s := record.Server{Name: l.Name(), Version: e.Commit, Command: l.Name()}
		if c, ok := l.(*bench.Command); ok {
			s.Command = strings.Join(append([]string{l.Name()}, c.Args[1:]...), " ")
		}
		r.Servers = append(r.Servers, s)
	}
	return r, err
}

// name is that of the table.
func (o *options) name() string {
	switch {
	case o.transports:
		return "transports"
	case o.memory:
		return "memory"
	}
	return "ceiling"
}

// commandLine is what gives the record again, without what names places of one
// machine.
func commandLine(args []string) string {
	line := []string{"scripts/bench.sh"}
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if name == "peal" || name == "json" {
			if !joined {
				i++ // the value
			}
			continue
		}
		line = append(line, quoted(args[i]))
	}
	return strings.Join(line, " ")
}

// quoted is an argument as a shell reads it.
func quoted(arg string) string {
	if strings.ContainsAny(arg, " |*?$&;<>()'\"\\{}") {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}

// keep writes r with the rows, also those that failed; a nil r is none.
func (o *options) keep(r *record.Record, outcomes []bench.Outcome) error {
	if r == nil || len(outcomes) == 0 {
		return nil
	}
	for i := range outcomes {
		r.Rows = append(r.Rows, record.RowOf(&outcomes[i]))
	}
	return r.Write(o.json)
}
