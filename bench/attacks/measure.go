package attacks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"peal/bench"
	"peal/loadtest"
	"peal/loadtest/hostile"
)

// Outcome is one attack on one build.
type Outcome struct {
	Attack string
	Build  string
	Quiet  Phase
	Under  Phase // the attack
	Before Resources
	After  Resources // when the hostile clients have gone
	Crowd  int       // connections of the crowd that the server closed
	Tally  hostile.Tally
	Counts []Figure
}

// Build is one server to measure.
type Build struct {
	Label string
	Peal  string // the binary
}

// serverLoops is the number of loops of a measured server: one per processor of the
// machine of BENCHMARKS.md.
const serverLoops = 2

// Measure runs one attack on a fresh server of build.
func Measure(ctx context.Context, build Build, a Attack, size Size) (o Outcome, err error) {
	o = Outcome{Attack: a.Name, Build: build.Label}
	p := &prey{}
	args := append([]string{"--admin", "{admin}"}, a.Args...)
	for i := range args {
		if strings.Contains(args[i], "{dir}") {
			temporary, err := os.MkdirTemp("", "peal-attacks-")
			if err != nil {
				return o, err
			}
			defer os.RemoveAll(temporary)
			p.dir = filepath.Join(temporary, "log")
			args[i] = strings.ReplaceAll(args[i], "{dir}", p.dir)
		}
	}
	command := bench.Peal(build.Peal, args...)
	if a.Encrypted {
		dir, err := os.MkdirTemp("", "peal-attacks-")
		if err != nil {
			return o, err
		}
		defer os.RemoveAll(dir)
		if command, p.secure, err = encrypted(build.Peal, dir, args); err != nil {
			return o, err
		}
	}
	if p.Server, err = command.Launch(ctx, serverLoops); err != nil {
		return o, err
	}
	defer func() {
		err = errors.Join(err, p.Alive(), p.Stop())
		if err != nil {
			err = fmt.Errorf("%s on %s: %w", a.Name, build.Label, err)
		}
	}()
	if a.Prepare != nil {
		if err := a.Prepare(ctx, p); err != nil {
			return o, fmt.Errorf("prepare: %w", err)
		}
	}
	crowd := &loadtest.Pool{}
	if len(a.Crowd) > 0 {
		var opened loadtest.Opened
		if crowd, opened, err = loadtest.OpenParts(ctx, a.crowd(p)); err != nil {
			return o, fmt.Errorf("crowd: %w", err)
		}
		defer func() { err = errors.Join(err, crowd.Close()) }()
		if err := opened.Err(); err != nil {
			return o, fmt.Errorf("crowd: %w", err)
		}
	}
	h, err := welcome(ctx, p.Addr, size)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, h.leave()) }()
	if err := h.both(ctx, &o, a, p); err != nil {
		return o, err
	}
	met, err := crowd.Sample(ctx, nil)
	if err != nil {
		return o, err
	}
	o.Crowd = met.Closed
	if a.Check != nil {
		if o.Counts, err = a.Check(ctx, p); err != nil {
			return o, fmt.Errorf("check: %w", err)
		}
	}
	return o, nil
}

// both runs the quiet phase and the one under attack.
func (h *honest) both(ctx context.Context, o *Outcome, a Attack, p *prey) (err error) {
	if o.Quiet, err = h.watched(ctx, p, h.size.Quiet); err != nil {
		return err
	}
	if o.Before, err = p.resources(ctx); err != nil {
		return fmt.Errorf("resources: %w", err)
	}
	neighbour, err := hostile.Start(ctx, a.spec(h.size, p))
	if err != nil {
		return err
	}
	o.Under, err = h.watched(ctx, p, h.size.Length)
	var stopped error
	if o.Tally, stopped = neighbour.Stop(); err != nil || stopped != nil {
		return errors.Join(err, stopped)
	}
	p.tally, p.peak = o.Tally, o.Under.Peak
	o.After, err = p.recovered(ctx, o.Before)
	p.grown = int64(o.After.Live) - int64(o.Before.Live)
	return err
}

// watched runs a phase and reads the server's peak memory in it.
func (h *honest) watched(ctx context.Context, p *prey, length time.Duration) (Phase, error) {
	if err := loadtest.ResetPeak(p.PID); err != nil {
		return Phase{}, fmt.Errorf("peak memory: %w", err)
	}
	r, err := h.phase(ctx, length)
	if err != nil {
		return r, err
	}
	m, err := loadtest.ReadMemory(p.PID)
	r.Peak = m.Peak
	return r, err
}
