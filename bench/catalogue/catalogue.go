package catalogue

import (
	"bytes"
	"cmp"
	"context"
	_ "embed" // for the catalogue
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"peal/bench"
	"peal/bench/gate"
	"peal/bench/record"
)

// Entry is the measurement of one table. catalogue.yaml says what its fields mean.
type Entry struct {
	Name, About     string
	Long            bool // takes hours: runs only if it is named
	Bench, Function string
	Versus          string // a commit, whose build is what --versus of scripts/bench.sh names
	Rounds          int
	Runs            []run
}

type run struct {
	Label, Server, Load, Script, Quick, Header string
	Loops                                      int // default 2
	Each                                       []int
	QuickEach                                  []int `yaml:"quick-each"`
}

// source is another project's server: see servers.sh.
type source struct{ Command, Configuration string }

//go:embed catalogue.yaml
var catalogueText []byte

var catalogue = func() (all struct {
	Servers map[string]source
	Entries []Entry
}) {
	d := yaml.NewDecoder(bytes.NewReader(catalogueText))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		panic("catalogue.yaml: " + err.Error()) // a test reads it
	}
	return all
}()

// functions are what entries may name.
var functions = map[string]func(*Kit, context.Context, *record.Record) error{"parts": (*Kit).parts, "gate": (*Kit).gate}

// Entries returns all entries, in the order in which they are measured. Without the
// long ones they take less than half an hour.
func Entries() []Entry { return catalogue.Entries }

// Measure runs the entry and writes its record into the folder.
func (e *Entry) Measure(ctx context.Context, k *Kit, folder string) error {
	r, err := k.begin(ctx, e.Name)
	switch {
	case err != nil:
	case e.Function != "":
		err = functions[e.Function](k, ctx, r)
	case e.Bench != "":
		err = k.bench(ctx, r, e)
	default:
		err = k.runs(ctx, r, e)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	if r.Name != e.Name {
		return fmt.Errorf("%s: the record's name is %q", e.Name, r.Name)
	}
	return r.Write(filepath.Join(folder, e.Name+".json"))
}

// bench runs scripts/bench.sh, which writes the record itself.
func (k *Kit) bench(ctx context.Context, r *record.Record, e *Entry) error {
	command := append([]string{filepath.Join(k.Root, "scripts/bench.sh")}, strings.Fields(e.Bench)...)
	if e.Versus != "" {
		from, err := gate.OpenCheckout(ctx, k.Root)
		if err != nil {
			return err
		}
		defer from.Close()
		other, err := k.other(ctx, from, e.Versus)
		if err != nil {
			return err
		}
		command = append(command, "--versus", other)
	}
	if k.Quick {
		command = append(command, "--short")
	}
	file, err := k.report(ctx, append(command, "--pairs", strconv.Itoa(k.rounds(e.Rounds))))
	if err != nil {
		return err
	}
	read, err := record.Read(file)
	if err != nil {
		return err
	}
	*r = *read
	if e.Versus != "" && len(r.Servers) == 2 {
		r.Servers[1].Name, r.Servers[1].Version = "commit "+e.Versus, e.Versus
	}
	return nil
}

// other builds the server of a commit and returns its command line.
func (k *Kit) other(ctx context.Context, from *gate.Checkout, commit string) (string, error) {
	id, err := from.Commit(ctx, commit)
	if err != nil {
		return "", err
	}
	k.say("building %s", commit)
	dir, err := from.Tree(ctx, commit, id)
	if err != nil {
		return "", err
	}
	binary, _, err := from.Build(ctx, dir, "peal-"+commit, "")
	return strings.Join(bench.Peal(binary, "--admin", "127.0.0.1:{admin}").Args, " "), err
}

// rounds is how often each measurement is repeated. What is run once has no noise.
func (k *Kit) rounds(full int) int {
	switch {
	case full == 1 || k.Quick && k.Rounds == 0:
		return 1
	case k.Rounds > 0:
		return k.Rounds
	}
	return full
}

// runs adds the reports of all runs to r: those of peal load in turns, then those of
// the scripts, which start servers themselves. A server that is not available is
// missing in the record.
func (k *Kit) runs(ctx context.Context, r *record.Record, e *Entry) error {
	var plans []plan
	servers := map[string]*server{}
	for _, one := range e.Runs {
		if one.Load == "" {
			continue
		}
		key := fmt.Sprint(one.Server, one.Loops)
		if _, known := servers[key]; !known {
			s, err := k.server(ctx, r, one)
			if err != nil {
				k.say("%s: %v", one.Server, err)
				r.Missing = append(r.Missing, one.Server+", because it could not be built or started here")
			}
			servers[key] = s
		}
		if s := servers[key]; s != nil {
			plans = append(plans, k.plans(one, *s)...)
		}
	}
	if err := k.load(ctx, r, k.rounds(e.Rounds), plans); err != nil {
		return err
	}
	for _, one := range e.Runs {
		if one.Script == "" {
			continue
		}
		program := record.Load
		if strings.HasPrefix(one.Script, record.Chaos) {
			program = record.Chaos
		}
		command := append(strings.Fields(one.Script), k.quickly(one.Quick)...)
		command[0] = filepath.Join(k.Root, command[0])
		err := k.keep(ctx, r, record.Run{Label: one.Label, Server: "peal", Round: 1, Program: program, Command: k.shown(command)}, command)
		if err != nil {
			return fmt.Errorf("%s: %w", one.Label, err)
		}
	}
	return nil
}

// quickly returns the arguments in text in a quick pass.
func (k *Kit) quickly(text string) []string {
	if !k.Quick {
		return nil
	}
	return strings.Fields(text)
}

// plans are the run's: one for each value of Each.
func (k *Kit) plans(one run, s server) (all []plan) {
	each := one.Each
	if k.Quick && one.QuickEach != nil {
		each = one.QuickEach
	}
	if each == nil {
		each = []int{0} // {each} does not occur
	}
	for _, v := range each {
		replace := strings.NewReplacer("{each}", strconv.Itoa(v))
		args := append(strings.Fields(replace.Replace(one.Load)), k.quickly(one.Quick)...)
		if one.Header != "" {
			args = append(args, "--header", one.Header)
		}
		all = append(all, plan{replace.Replace(one.Label), s, args[0], args[1:]})
	}
	return all
}

// server returns the server of a run. Another project's is built, and started once
// before anything is measured. What these steps print goes to the log only, because it
// contains paths of this machine.
func (k *Kit) server(ctx context.Context, r *record.Record, one run) (*server, error) {
	switch one.Server {
	case "", "peal":
		return k.peal(r, cmp.Or(one.Loops, 2)), nil
	case "ceiling":
		c, err := bench.BuildCeiling(ctx, k.Dir)
		if err != nil {
			return nil, err
		}
		return &server{record.Server{Name: c.Label, Version: r.Environment.Commit, Command: k.shown(c.Args)}, c, 1}, nil
	}
	folder := filepath.Join(k.Root, "bench/catalogue")
	args := []string{filepath.Join(folder, "servers.sh"), one.Server}
	build := append(args, "build", k.Dir)
	k.say("$ %s", k.shown(build))
	c := exec.CommandContext(ctx, build[0], build[1:]...)
	c.Stderr = k.Log
	version, err := c.Output()
	if err != nil {
		return nil, err
	}
	about := catalogue.Servers[one.Server]
	configuration, err := os.ReadFile(filepath.Join(folder, about.Configuration))
	if err != nil {
		return nil, err
	}
	s := &server{record.Server{Name: one.Server, Version: strings.TrimSpace(string(version)), Command: about.Command, Configuration: string(configuration)},
		&bench.Command{Label: one.Server, Args: append(args[:2:2], "start", k.Dir, "{port}")}, 1}
	return s, s.starts(ctx)
}
