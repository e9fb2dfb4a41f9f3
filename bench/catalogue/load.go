package catalogue

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"peal/bench"
	"peal/bench/record"
)

const (
	wsTarget   = "ws://127.0.0.1:{port}/ws?channel=bench"
	sseTarget  = "sse+http://127.0.0.1:{port}/sse?channel=bench"
	pollTarget = "poll+http://127.0.0.1:{port}/poll?channel=bench"
)

// latencyLoad exceeds what two processors can do, generator included, so that the
// last lines show saturation.
func (k *Kit) latencyLoad(ctx context.Context, r *record.Record) error {
	ours := k.peal(r, 2)
	rates := []int{5, 20, 50, 80, 110, 140, 180}
	if k.Quick {
		rates = []int{5, 20, 40}
	}
	var plans []plan
	for _, rate := range rates {
		plans = append(plans, plan{fmt.Sprintf("%d messages/s", rate), ours, "fanout", []string{"--target", wsTarget,
			"--connections", k.size(1000, 200), "--rate", strconv.Itoa(rate), "--duration", k.seconds(4, 1)}})
	}
	return k.load(ctx, r, k.rounds(3), plans)
}

// generator compares the two kinds of subscribers on the cheapest server: with
// messages that arrive one by one, and with so many that several are read at once.
func (k *Kit) generator(ctx context.Context, r *record.Record) error {
	c, err := bench.BuildCeiling(ctx, k.Dir)
	if err != nil {
		return err
	}
	ceiling := server{record.Server{Name: c.Label, Version: r.Environment.Commit, Command: k.shown(c.Args)}, c, 1}
	var plans []plan
	for _, load := range []struct {
		label             string
		connections, rate int
	}{
		{"5 messages/s", k.number(5000, 200), 5},
		{"2,000 messages/s", k.number(200, 50), 2000},
	} {
		args := []string{"--target", "ws://127.0.0.1:{port}/", "--publish", "ws://127.0.0.1:{port}/pub",
			"--connections", strconv.Itoa(load.connections), "--rate", strconv.Itoa(load.rate), "--duration", k.seconds(5, 2)}
		plans = append(plans, plan{"epoll, the default, " + load.label, ceiling, "fanout", args},
			plan{"lxzan/gws (--gws), " + load.label, ceiling, "fanout", append(args[:len(args):len(args)], "--gws")})
	}
	return k.load(ctx, r, k.rounds(3), plans)
}

// hundredThousand has one run with each kind of subscribers. The script starts the
// servers.
func (k *Kit) hundredThousand(ctx context.Context, r *record.Record) error {
	for _, kind := range []struct {
		label string
		args  []string
	}{
		{"epoll, the default", nil},
		{"lxzan/gws (--gws)", []string{"--gws"}},
	} {
		args := kind.args
		if k.Quick {
			args = append(args, "--connections", "7000", "--duration", "4s")
		}
		if err := k.script(ctx, r, kind.label, record.Load, "scripts/hundred-thousand.sh", args); err != nil {
			return err
		}
	}
	return nil
}

// correctness has one run of each: its counts have no noise.
func (k *Kit) correctness(ctx context.Context, r *record.Record) error {
	ours := k.peal(r, 2)
	args := []string{"--connections", k.size(2000, 300), "--rate", "20", "--duration", k.seconds(9, 3)}
	storm := func(label, target string) plan {
		return plan{"storm, " + label, ours, "storm", append([]string{"--target", target}, args...)}
	}
	plans := []plan{storm("WebSocket", wsTarget+"&format=json"), storm("SSE", sseTarget), storm("long polling", pollTarget),
		{"all three transports at once", ours, "mixed", append([]string{"--target", wsTarget}, args...)}}
	if err := k.load(ctx, r, 1, plans); err != nil {
		return err
	}
	short := []string{"--length", k.seconds(20, 5), "--restart", k.seconds(4, 2), "--clients", k.size(2000, 300)}
	for _, c := range []struct {
		label string
		args  []string
	}{
		{"chaos with restarts, log in memory", nil},
		{"chaos with restarts, log in files", []string{"--log", "file", "--fsync", "always"}},
		{"chaos with restarts, little history", []string{"--history", "3", "--rate", "250"}},
	} {
		if err := k.script(ctx, r, c.label, record.Chaos, record.Chaos, append(short[:len(short):len(short)], c.args...)); err != nil {
			return err
		}
	}
	return nil
}

// script adds the report of a script to r, even if a guarantee was violated.
func (k *Kit) script(ctx context.Context, r *record.Record, label, program, script string, args []string) error {
	command := append([]string{filepath.Join(k.Root, script)}, args...)
	err := k.keep(ctx, r, record.Run{Label: label, Server: "peal", Round: 1, Program: program, Command: k.shown(command)}, command)
	if err != nil {
		return fmt.Errorf("%s: %w", label, err)
	}
	return nil
}

// peers applies the same load to each server, with one thread each. All keep the
// messages for clients that resume.
func (k *Kit) peers(ctx context.Context, r *record.Record) error {
	args := []string{"--connections", k.size(5000, 300), "--rate", k.size(5, 20), "--duration", k.seconds(4, 1)}
	fanout := func(label string, s server, target string, header ...string) plan {
		own := append([]string{"--target", target}, args...)
		for _, line := range header {
			own = append(own, "--header", line)
		}
		return plan{label, s, "fanout", own}
	}
	ours := k.peal(r, 1)
	plans := []plan{fanout("WebSocket", ours, wsTarget), fanout("SSE", ours, sseTarget)}
	for _, peer := range []struct {
		name   string
		get    func(context.Context) (server, error)
		loads  [][2]string // label and target
		header []string
	}{
		{"Nchan", k.nchan, [][2]string{{"WebSocket", "nchan+ws://127.0.0.1:{port}?channel=bench"}, {"SSE", "nchan+http://127.0.0.1:{port}?channel=bench"}}, nil},
		{"Centrifugo", k.centrifugo, [][2]string{{"WebSocket", "centrifugo+ws://127.0.0.1:{port}?channel=bench"}}, []string{"X-API-Key: secret"}},
		{"Mercure", k.mercure, [][2]string{{"SSE", "mercure+http://127.0.0.1:{port}?channel=bench"}}, []string{"Authorization: Bearer " + mercureToken}},
	} {
		s, err := peer.get(ctx)
		if err == nil {
			err = k.starts(ctx, s)
		}
		if err != nil {
			k.say("%s: %v", peer.name, err)
			r.Missing = append(r.Missing, peer.name+", because "+err.Error())
			continue
		}
		for _, l := range peer.loads {
			plans = append(plans, fanout(l[0], s, l[1], peer.header...))
		}
	}
	return k.load(ctx, r, k.rounds(3), plans)
}

// starts checks once that the server starts, before anything is measured. Its output
// goes to the log only, because it contains paths of this machine.
func (k *Kit) starts(ctx context.Context, s server) error {
	running, err := s.launch.Launch(ctx, s.loops)
	if err != nil {
		k.say("%v", err)
		return fmt.Errorf("it did not start here")
	}
	return running.Stop()
}
