package catalogue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"peal/bench"
	"peal/bench/record"
)

// Kit runs what entries measure.
type Kit struct {
	Root   string // of the repository
	Peal   string // the binary
	Dir    string // for temporary files; the caller deletes it
	Quick  bool   // small sizes, one round
	Rounds int    // repetitions; 0: the default of each entry
	Log    io.Writer
}

func (k *Kit) say(format string, args ...any) { fmt.Fprintf(k.Log, format+"\n", args...) }

// command prints a command and runs it in the root, with PEAL=binary. Its output goes
// to the log. When ctx ends, its process group receives SIGTERM.
func (k *Kit) command(ctx context.Context, args ...string) error {
	k.say("$ %s", k.shown(args))
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir, c.Stdout, c.Stderr, c.Env = k.Root, k.Log, k.Log, append(os.Environ(), "PEAL="+k.Peal)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = 30 * time.Second
	return c.Run()
}

// shown is a command as records keep it, without paths of this machine.
func (k *Kit) shown(args []string) string {
	replace := strings.NewReplacer(k.Peal, "peal", k.Root+"/", "", k.Dir+"/", "")
	args = slices.Clone(args)
	for i, a := range args {
		args[i] = replace.Replace(a)
	}
	return record.CommandLine(args)
}

// report runs a program with --json FILE and returns the file. If the program wrote
// the file and failed, the reason is in there.
func (k *Kit) report(ctx context.Context, args []string) (file string, err error) {
	file = filepath.Join(k.Dir, "report.json")
	if err := os.RemoveAll(file); err != nil {
		return "", err
	}
	failed := k.command(ctx, append(slices.Clone(args), "--json", file)...)
	if _, err := os.Stat(file); err != nil || ctx.Err() != nil {
		return "", errors.Join(failed, err, ctx.Err())
	}
	if failed != nil {
		k.say("%s: %v; its report has the reason", args[0], failed)
	}
	return file, nil
}

// keep runs a program with --json FILE, and adds run with that report to r.
func (k *Kit) keep(ctx context.Context, r *record.Record, run record.Run, args []string) error {
	file, err := k.report(ctx, args)
	if err != nil {
		return err
	}
	if run.Report, err = os.ReadFile(file); err != nil {
		return err
	}
	if !json.Valid(run.Report) {
		return fmt.Errorf("the report of %s is not JSON: %.200s", args[0], run.Report)
	}
	r.Runs = append(r.Runs, run)
	return nil
}

// begin returns a record without measurements.
func (k *Kit) begin(ctx context.Context, name string) (*record.Record, error) {
	e, err := record.Capture(ctx)
	r := &record.Record{Schema: record.Schema, Name: name, Quick: k.Quick, Command: "scripts/benchmarks.sh --measure " + name, Environment: e}
	if k.Quick {
		r.Command = "scripts/benchmarks.sh --quick --measure " + name
	}
	return r, err
}

// server can be started several times.
type server struct {
	record.Server
	launch *bench.Command
	loops  int
}

// starts reports whether the server starts and can be ended.
func (s *server) starts(ctx context.Context) error {
	running, err := s.launch.Launch(ctx, s.loops)
	if err != nil {
		return err
	}
	return running.Stop()
}

// peal is our own server, with that many loops.
func (k *Kit) peal(r *record.Record, loops int) *server {
	c := bench.Peal(k.Peal, "--admin", "127.0.0.1:{admin}")
	command := strings.ReplaceAll(k.shown(c.Args), "{loops}", strconv.Itoa(loops))
	return &server{record.Server{Name: c.Label, Version: r.Environment.Commit, Command: command}, c, loops}
}

// plan is a run of peal load on a fresh server.
type plan struct {
	label    string
	server   server
	scenario string
	args     []string // {port}, {admin} and {pid} are replaced
}

// load runs all plans and adds their reports to r. Each round reverses the order of
// the round before.
func (k *Kit) load(ctx context.Context, r *record.Record, rounds int, plans []plan) error {
	for _, p := range plans {
		if !slices.Contains(r.Servers, p.server.Server) {
			r.Servers = append(r.Servers, p.server.Server)
		}
	}
	for round := 1; round <= rounds; round++ {
		k.say("%s, round %d of %d", r.Name, round, rounds)
		for _, p := range plans {
			if err := k.loadOnce(ctx, r, round, p); err != nil {
				return fmt.Errorf("%s, %s: %w", p.server.Name, p.label, err)
			}
		}
		slices.Reverse(plans)
	}
	return nil
}

// loadOnce runs one plan. It also keeps the report of a run that is not valid or
// misses an objective, because the report contains that.
func (k *Kit) loadOnce(ctx context.Context, r *record.Record, round int, p plan) (err error) {
	s, err := p.server.launch.Launch(ctx, p.server.loops)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Alive(), s.Stop()) }()
	command := append([]string{k.Peal, "load", p.scenario}, append(slices.Clone(p.args), "--pid", "{pid}")...)
	run := record.Run{Label: p.label, Server: p.server.Name, Round: round, Program: record.Load, Command: k.shown(command)}
	_, port, _ := strings.Cut(s.Addr, ":")
	replace := strings.NewReplacer("{port}", port, "{admin}", s.Admin, "{pid}", strconv.Itoa(s.PID))
	for i := range command {
		command[i] = replace.Replace(command[i])
	}
	return k.keep(ctx, r, run, command)
}
