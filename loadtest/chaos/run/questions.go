package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"peal/loadtest/chaos"
	"peal/loadtest/child"
)

// What a run with --trace has unless it is given: little history and much traffic, for gaps, and tokens.
var traceDefaults = map[string]string{"tokens": "true", "clients": "400", "channels": "16", "rate": "100", "history": "4"}

// latest is how many channels send slow clients the newest message only.
const latest = 3

// questionFlags applies traceDefaults.
func (o *options) questionFlags(f *flag.FlagSet) error {
	if o.questions < 1 || o.count > 0 || o.hostile > 0 || o.webhooks || o.Restore {
		return errors.New("--trace needs --questions of at least 1, and excludes --nodes, --hostile, --webhooks and --restore")
	}
	given := map[string]bool{}
	f.Visit(func(one *flag.Flag) { given[one.Name] = true })
	for name, value := range traceDefaults {
		if !given[name] {
			if err := f.Set(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask has the server keep a record for the questions, and a rule for slow clients, whose file is in dir.
func (o *options) ask(p *chaos.Process) (dir string, err error) {
	port, err := child.FreePort()
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "peal-chaos-trace-"); err != nil {
		return "", err
	}
	var rules strings.Builder
	rules.WriteString("channels:\n")
	for n := o.Channels - latest; n < o.Channels; n++ {
		fmt.Fprintf(&rules, "  - {match: c%d, slow: latest}\n", n)
	}
	file := filepath.Join(dir, "peal.yaml")
	admin := child.Loopback(port)
	o.Latest, o.Questions = latest, &chaos.Questions{URL: "http://" + admin + "/trace", Count: o.questions}
	p.Args = append(p.Args, "--config", file, "--admin", admin, "--trace-lives", strconv.Itoa(traceLives), "--trace-bytes", "256MiB", "--heartbeat", "1s")
	return dir, os.WriteFile(file, []byte(rules.String()), 0o600)
}

// traceLives is how many connections the record has. A run has fewer.
const traceLives = 200_000
