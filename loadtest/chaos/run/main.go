// Command run lets chaos reign over one Peal binary and prints what came of
// it. It exits with 1 when a promise was broken. scripts/chaos.sh builds Peal
// and calls it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"peal/loadtest/chaos"
	"peal/loadtest/child"
	"peal/loadtest/hostile"
)

func main() {
	child.Play(hostile.Role)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp), errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

var (
	errUsage  = errors.New("invalid arguments")
	errBroken = errors.New("the server broke its guarantees")
)

// options are the command line.
type options struct {
	chaos.Config
	peal, log, fsync, pealArgs, transports string
	verbose                                bool
	json                                   string
	hostile                                int
	tokens, encrypted                      bool
	count                                  int // nodes; 0: one server
	loses                                  bool
	webhooks                               bool
	trace                                  bool
	questions                              int
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	o.Config = chaos.Default()
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.peal, "peal", "", "Peal's `binary`")
	f.StringVar(&o.log, "log", "memory", "the server's log: memory, or file for a new directory that is deleted afterwards, or file:`DIR`, a new one, to keep it, or redis, with --nodes")
	f.IntVar(&o.count, "nodes", 0, "with --log redis: how many nodes, which are killed, stopped and cut off, and so is Redis")
	f.BoolVar(&o.loses, "lose", false, "with --nodes: Redis also loses its newest entries, of which each client must have a gap")
	f.StringVar(&o.fsync, "fsync", "always", "with file: always or interval")
	f.StringVar(&o.pealArgs, "peal-args", "", "further arguments of 'peal serve', divided at spaces")
	f.Uint64Var(&o.Seed, "seed", 0, "of all decisions of clients; 0: a new one")
	f.DurationVar(&o.Length, "length", o.Length, "of publishing and restarting")
	f.DurationVar(&o.CatchUp, "catch-up", o.CatchUp, "that clients are given at the end")
	f.DurationVar(&o.Restart, "restart", o.Restart, "between two restarts, on average; 0 for none")
	f.BoolVar(&o.Restore, "restore", false, "with file: at every other restart, put back a copy of the log that was made at the one before")
	f.BoolVar(&o.Upgrade, "upgrade", false, "upgrade the server, in the place of restarts; with file, the old or the new process is killed in two of three upgrades")
	f.IntVar(&o.Kills, "kills", 0, "with --upgrade and file: end after so many kills; 0: after --length")
	f.IntVar(&o.Clients, "clients", o.Clients, "how many follow")
	f.IntVar(&o.Channels, "channels", o.Channels, "how many there are")
	f.IntVar(&o.Publishers, "publishers", o.Publishers, "how many publish")
	f.Float64Var(&o.Rate, "rate", o.Rate, "messages per second, of all publishers together")
	f.StringVar(&o.transports, "transports", "", "of the clients, with commas between; empty: all, which are ws json, peal.v1, sse, sse json, poll, poll raw")
	f.IntVar(&o.History, "history", 100_000, "messages the server retains of each channel")
	f.IntVar(&o.hostile, "hostile", 0, "hostile clients beside the honest ones, of all kinds of loadtest/hostile that fit")
	f.BoolVar(&o.tokens, "tokens", false, "the server needs tokens: clients have some that live 2 to 6 s, renew them, and lose them by revocation; not with --hostile")
	f.BoolVar(&o.encrypted, "tls", false, "connections are encrypted, and clients resume sessions; not with --hostile")
	f.BoolVar(&o.webhooks, "webhooks", false, "the server has webhooks, whose receivers fail, hang and are killed; with --log file or redis, and not with --lose, --restore and --tokens")
	f.BoolVar(&o.trace, "trace", false, "ask the server's trace what became of messages for clients, and compare the answers with what they received; other flags have other defaults then, see run/questions.go; not with --nodes, --hostile, --webhooks and --restore")
	f.IntVar(&o.questions, "questions", 10_000, "with --trace: how many")
	f.StringVar(&o.json, "json", "", "`file` for the summary, as JSON")
	f.BoolVar(&o.verbose, "verbose", false, "print why connections ended that clients wanted to keep, and the server's log")
	if err := f.Parse(args); err != nil {
		return o, errors.Join(errUsage, err)
	}
	if o.trace {
		if err := o.questionFlags(f); err != nil {
			fmt.Fprintln(stderr, "chaos:", err)
			return o, errUsage
		}
	}
	if f.NArg() > 0 || o.peal == "" || o.Clients < 1 || o.Channels < 5 || o.Publishers < 1 || o.Rate <= 0 || o.History < 1 {
		fmt.Fprintln(stderr, "chaos: set --peal, and give flags only; --clients at least 1, --channels at least 5, --publishers at least 1, --rate and --history more than 0")
		return o, errUsage
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Restore && !strings.HasPrefix(o.log, "file") {
		fmt.Fprintln(stderr, "chaos: --restore needs --log file: a log in memory cannot be copied")
		return o, errUsage
	}
	if (o.log == "redis") != (o.count > 0) || o.loses && o.count == 0 || o.count > 0 && (o.tokens || o.encrypted || o.hostile > 0) {
		fmt.Fprintln(stderr, "chaos: --log redis and --nodes belong together, --lose needs them, and --tokens, --tls and --hostile exclude them")
		return o, errUsage
	}
	if o.Upgrade && (o.count > 0 || o.Restore || o.tokens || o.encrypted || o.webhooks || o.Restart == 0) || o.Kills > 0 && !(o.Upgrade && strings.HasPrefix(o.log, "file") && o.fsync == "always") {
		fmt.Fprintln(stderr, "chaos: --upgrade is for one server, without --restore, --tokens, --tls and --webhooks, and with --restart above 0; --kills needs it, --log file and --fsync always")
		return o, errUsage
	}
	if o.tokens && o.hostile > 0 {
		fmt.Fprintln(stderr, "chaos: --tokens and --hostile exclude each other: hostile clients have no tokens")
		return o, errUsage
	}
	if o.encrypted && o.hostile > 0 {
		fmt.Fprintln(stderr, "chaos: --tls and --hostile exclude each other: hostile clients speak no TLS")
		return o, errUsage
	}
	if o.webhooks && (o.log == "memory" || o.fsync != "always" || o.loses || o.Restore || o.tokens) {
		fmt.Fprintln(stderr, "chaos: --webhooks needs a log that keeps everything: --log file with --fsync always, or --log redis without --lose; and it excludes --restore and --tokens")
		return o, errUsage
	}
	if o.transports != "" {
		o.Transports = strings.Split(o.transports, ",")
	}
	if o.verbose {
		o.Log = stderr
	}
	return o, nil
}

// serve are the arguments of 'peal serve' with every log.
func (o *options) serve() []string {
	return []string{"--drain", "1s", "--history-messages", strconv.Itoa(o.History), "--history-bytes", "1GiB", "--history-total-bytes", "2GiB", "--history-age", "24h"}
}

// server returns the real binary, as the options want it. clean removes what
// it leaves behind.
func (o *options) server() (p *chaos.Process, clean func() error, err error) {
	port, err := child.FreePort()
	if err != nil {
		return nil, nil, err
	}
	o.Addr, clean = child.Loopback(port), func() error { return nil }
	p = &chaos.Process{Program: child.Program{Name: "the server", Addrs: []string{o.Addr}, Output: o.Log,
		Args: append([]string{o.peal, "serve", "--listen", o.Addr}, o.serve()...)}}
	kind, dir, _ := strings.Cut(o.log, ":")
	switch {
	case o.log == "memory":
		if o.Upgrade {
			o.Keeps, o.Spare = chaos.All, true // a process that has taken over has everything
		}
	case kind == "file":
		if dir == "" {
			temporary, err := os.MkdirTemp("", "peal-chaos-")
			if err != nil {
				return nil, nil, err
			}
			clean = func() error { return os.RemoveAll(temporary) }
			dir = filepath.Join(temporary, "log")
		}
		p.Dir = dir
		p.Args = append(p.Args, "--log", "file:"+dir, "--fsync", o.fsync)
		o.Keeps = chaos.AllOrCut
		if o.fsync == "always" {
			o.Keeps = chaos.All
		}
	default:
		return nil, nil, fmt.Errorf("--log %q: must be memory, file or file:DIR", o.log)
	}
	if o.tokens {
		files, err := o.access(p)
		if err != nil {
			return nil, nil, errors.Join(err, clean())
		}
		before := clean
		clean = func() error { return errors.Join(before(), os.RemoveAll(files)) }
	}
	if o.encrypted {
		files, err := o.encrypt(p)
		if err != nil {
			return nil, nil, errors.Join(err, clean())
		}
		before := clean
		clean = func() error { return errors.Join(before(), os.RemoveAll(files)) }
	}
	if o.trace {
		files, err := o.ask(p)
		if err != nil {
			return nil, nil, errors.Join(err, clean())
		}
		before := clean
		clean = func() error { return errors.Join(before(), os.RemoveAll(files)) }
	}
	if o.webhooks {
		admin, err := child.FreePort()
		if err != nil {
			return nil, nil, errors.Join(err, clean())
		}
		args, files, err := o.hooks(child.Loopback(admin))
		if err != nil {
			return nil, nil, errors.Join(err, clean())
		}
		p.Args = append(append(p.Args, "--admin", child.Loopback(admin)), args...)
		before := clean
		clean = func() error { return errors.Join(before(), os.RemoveAll(files)) }
	}
	if p.Passes = o.Upgrade; p.Passes {
		if err := child.Reaper(); err != nil {
			return nil, nil, errors.Join(err, clean())
		}
	}
	p.Args = append(p.Args, strings.Fields(o.pealArgs)...)
	return p, clean, nil
}

// access has the server need tokens and keys, whose files are in dir.
func (o *options) access(p *chaos.Process) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "peal-chaos-access-"); err != nil {
		return "", err
	}
	var key, lines bytes.Buffer
	create := exec.Command(o.peal, "key", "create", "--name", "chaos", "--allow", "publish", "--allow", "revoke")
	create.Stdout, create.Stderr = &key, &lines
	if err := create.Run(); err != nil {
		return dir, fmt.Errorf("peal key create: %w: %s", err, lines.String())
	}
	o.Access = &chaos.Access{Secret: fmt.Sprintf("chaos-%064x", o.Seed), Key: strings.TrimSpace(key.String())}
	secret, keys := filepath.Join(dir, "secret"), filepath.Join(dir, "keys.yaml")
	p.Args = append(p.Args, "--auth", "token", "--token-secret-file", secret, "--token-leeway", "1s", "--key-file", keys)
	return dir, errors.Join(os.WriteFile(secret, []byte(o.Access.Secret), 0o600), os.WriteFile(keys, lines.Bytes(), 0o600))
}

// reign prepares what the options want: one server, or a cluster.
func (o *options) reign() (run func(context.Context) (chaos.Report, error), clean func() error, err error) {
	if o.count == 0 {
		server, clean, err := o.server()
		return func(ctx context.Context) (chaos.Report, error) { return chaos.Run(ctx, o.Config, server) }, clean, err
	}
	args, clean := o.serve(), func() error { return nil }
	if o.webhooks {
		more, files, err := o.hooks("")
		if err != nil {
			return nil, nil, err
		}
		args, clean = append(args, more...), func() error { return os.RemoveAll(files) }
	}
	n, err := o.nodes(append(args, strings.Fields(o.pealArgs)...))
	if err != nil {
		return nil, nil, errors.Join(err, clean())
	}
	if o.webhooks {
		o.Webhooks.Kick = kick(n.Nodes[0].Admin)
	}
	return func(ctx context.Context) (chaos.Report, error) { return chaos.RunCluster(ctx, o.Config, n) }, clean, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	reign, clean, err := o.reign()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	fmt.Fprintf(stdout, "seed %d, log %s, publishing for %v, then up to %v to catch up\n", o.Seed, o.log, o.Length, o.CatchUp)
	stop, err := o.neighbours(ctx)
	if err != nil {
		return err
	}
	report, err := reign(ctx)
	tally, stopped := stop()
	if err := errors.Join(err, stopped); err != nil {
		return err
	}
	if err := report.Write(stdout); err != nil {
		return err
	}
	if o.hostile > 0 {
		fmt.Fprintf(stdout, "%-28s %d, %d connections, %d MB sent, %d requests refused, %d connections ended\n",
			"hostile clients", o.hostile, tally.Connections, tally.Sent/1e6, tally.Refused, tally.Closed)
		if tally.Sent == 0 {
			return errors.New("the hostile clients sent nothing")
		}
	}
	if o.json != "" {
		s := report.Summary(o.Config)
		s.Hostile = o.hostile
		if s.Log = o.log; strings.HasPrefix(o.log, "file") {
			s.Log, s.Fsync = "file", o.fsync
		}
		s.Lose = o.loses
		if err := s.Write(o.json); err != nil {
			return err
		}
	}
	if !report.Clean() {
		return fmt.Errorf("%w: repeat the run with --seed %d", errBroken, o.Seed)
	}
	return nil
}
