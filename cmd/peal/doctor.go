package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/machine"
	"peal/server/settings"
)

// doctorCommand is the flags of peal doctor.
type doctorCommand struct {
	json, strict bool
	doctorURL

	config, root string // of the machine
	pid          int
}

func newDoctor() *cobra.Command {
	var d doctorCommand
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what is wrong with a machine, or with the way to a server",
		Long: `Without --url, checks the machine for a server with the configuration of --config
and the environment (PEAL_…): limits, kernel settings, memory, clock, disk,
permissions. With --url, checks a server as its clients reach it, through all proxies:
TLS, WebSockets, event streams, quiet connections, long polls, headers, CORS.

It changes nothing. Each line has the value; each fault also has the reason and what
removes it: a command, a setting of Peal, or the lines for nginx, HAProxy, Caddy,
Apache and Traefik. Exit codes: 0 no failure (with --strict: and no warning), 1 a
failure, 2 the checks could not be made.`,
		Example: `  peal doctor --config /etc/peal/peal.yaml --pid $(pidof peal)
  peal doctor --url https://push.example.org --origin https://app.example.org
  peal doctor --url https://push.example.org --token-file 42.token --channel orders.7 --key-file shop.key --publish-url http://127.0.0.1:8080`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			check := d.machine
			if d.url != "" {
				check = func() (*doctor.Report, error) {
					return d.outside(c.Context(), func(text string) { fmt.Fprintln(c.ErrOrStderr(), text) })
				}
			}
			report, err := check()
			if err != nil {
				return usageError{err}
			}
			return d.print(c, report)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.BoolVar(&d.json, "json", false, "print the report as JSON")
	f.BoolVar(&d.strict, "strict", false, "exit code 1 also after a warning")
	f.StringVar(&d.config, "config", "", "YAML file with settings of the server (also "+settings.ConfigVariable+")")
	f.IntVar(&d.pid, "pid", 0, "running server whose limits are checked (default: those of this shell)")
	f.StringVar(&d.root, "root", "/", "directory where the files of the machine begin, for a mounted image")
	d.flags(f)
	return c
}

// machine checks the machine.
func (d *doctorCommand) machine() (*doctor.Report, error) {
	s, err := settings.Load(settings.Input{Environment: os.Environ(), File: d.config})
	if err != nil {
		return nil, err
	}
	if i, err := os.Stat(d.root); err != nil || !i.IsDir() {
		return nil, fmt.Errorf("--root %s: must be a directory", d.root)
	}
	pid, subject := "self", "this machine, for a server with default settings"
	if d.pid != 0 {
		pid = strconv.Itoa(d.pid)
		if _, err := os.Stat("/proc/" + pid + "/limits"); err != nil && d.root == "/" {
			return nil, fmt.Errorf("--pid %d: there is no such process", d.pid)
		}
	}
	if len(s.Sources) > 0 {
		subject = "this machine, for a server with this configuration"
	}
	m := machine.Open(d.root, pid, s.Config.WithDefaults(), s.Files)
	// Their defaults depend on the limits of this process.
	m.Config.Loop.MaxConnections, m.Config.MemoryLimit = s.Config.Loop.MaxConnections, s.Config.MemoryLimit
	return &doctor.Report{Subject: subject, Findings: m.Check()}, nil
}

// errDoctor is the exit code 1; the report has the reasons.
var errDoctor = errors.New("doctor")

func (d *doctorCommand) print(c *cobra.Command, r *doctor.Report) error {
	write := r.WriteText
	if d.json {
		write = r.WriteJSON
	}
	if err := write(c.OutOrStdout()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if r.Failed(d.strict) {
		return fmt.Errorf("%w: %s", errDoctor, r.Summary())
	}
	return nil
}
