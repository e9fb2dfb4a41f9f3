package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"peal/loadtest/child"
)

// Upgrader is a server that can go on in another process.
type Upgrader interface {
	Server
	// Upgrade asks it to, kills a process as k wants it, and returns what came of it. An error means that
	// what came of it is nothing that may come.
	Upgrade(ctx context.Context, k Kill) (Outcome, error)
}

// Kill is the end of a process in the middle of an upgrade.
type Kill struct {
	Victim Victim
	After  time.Duration // since the request; one that was not started by then is killed when it is
}

// Victim is who is killed.
type Victim uint8

const (
	Nobody Victim = iota
	OldProcess
	NewProcess
)

// Outcome is which process serves after an upgrade.
type Outcome uint8

const (
	Gone   Outcome = iota // none
	Stayed                // the old one
	Passed                // the new one
)

// Upgrades count what came of upgrades.
type Upgrades struct {
	All       int           `json:"all"`
	KilledOld int           `json:"killed_old"`
	KilledNew int           `json:"killed_new"`
	Passed    int           `json:"passed"` // the new process serves
	Stayed    int           `json:"stayed"` // the old one does
	Gone      int           `json:"gone"`   // none did, and the server was started again
	Longest   time.Duration `json:"-"`      // of those in which nobody was killed
}

// upgradeLimit is how long one may take.
const upgradeLimit = time.Minute

// staysAlone is how long a process without another one has called the upgrade off. A Go program that starts a process
// for the first time tries out on a child that ends at once how it can.
const staysAlone = 500 * time.Millisecond

// Upgrade implements Upgrader, by SIGUSR2.
func (p *Process) Upgrade(ctx context.Context, k Kill) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeLimit)
	defer cancel()
	old, _ := p.Usage()
	if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
		return Gone, fmt.Errorf("ask process %d to upgrade: %w", old, err)
	}
	alone := time.Now()                             // the newest moment at which the old process was not
	began, next, pending := time.Now(), 0, k.Victim // next: the new process, 0 before there is one
	for {
		if all := child.Children(old); len(all) > 0 {
			next = all[len(all)-1]
		}
		if victim := map[Victim]int{OldProcess: old, NewProcess: next}[pending]; victim != 0 && time.Since(began) >= k.After {
			pending = Nobody
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return Gone, fmt.Errorf("kill process %d: %w", victim, err)
			}
		}
		hasOld, hasNext := child.Running(old), next != 0 && child.Running(next)
		if !hasOld || hasNext || next == 0 {
			alone = time.Now()
		}
		switch {
		case !hasOld && !hasNext:
			if k.Victim == Nobody {
				return Gone, errors.New("an upgrade in which nobody was killed has ended both processes")
			}
			return Gone, p.Exits(ctx)
		case !hasOld && p.serves(ctx):
			return Passed, p.Follow(ctx, next)
		case time.Since(alone) > staysAlone && p.serves(ctx) && child.Running(old):
			if k.Victim == Nobody {
				return Stayed, errors.New("an upgrade in which nobody was killed was refused: see --verbose")
			}
			return Stayed, nil
		}
		select {
		case <-ctx.Done():
			if next != 0 {
				_ = syscall.Kill(next, syscall.SIGKILL) // it may have ended
			}
			return Gone, fmt.Errorf("an upgrade has not ended: the old process runs: %v, the new one: %v: %w", hasOld, hasNext, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// serves reports whether a process answers. One that takes over answers nothing before it serves.
func (p *Process) serves(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addrs[0]+"/channels", nil)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode < 500
}

// upgrades has the server upgraded until Length is over, or Kills processes were killed. Unless they are
// spared, a process is killed in two upgrades of three, at a moment that is as probable as any other. In the
// third one nobody may notice anything.
func (r *run) upgrades(ctx context.Context, server Upgrader) error {
	rnd := rand.New(rand.NewPCG(r.Seed, 1<<32))
	over := time.NewTimer(r.Length)
	defer over.Stop()
	usual := 400 * time.Millisecond // how long one takes; then, the last one in which nobody was killed
	u := &Upgrades{}
	r.figures.Upgrades = u
	for turn := 0; r.Kills == 0 || u.KilledOld+u.KilledNew < r.Kills; turn++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return nil
		case <-time.After(time.Duration((0.6 + 0.8*rnd.Float64()) * float64(r.Restart))):
		}
		k := Kill{After: time.Duration(rnd.Float64() * 1.2 * float64(usual))}
		if !r.Spare && turn%3 > 0 {
			k.Victim = OldProcess + Victim(rnd.IntN(2))
			r.peace[0].disturb()
		}
		began := time.Now()
		o, err := server.Upgrade(ctx, k)
		if err != nil {
			return err
		}
		u.count(k.Victim, o, time.Since(began))
		switch {
		case o == Gone:
			err = r.start(ctx, server, false)
		case k.Victim != Nobody:
			r.peace[0].restore(0)
			_, err = r.announce(ctx)
		default:
			usual = time.Since(began)
			_, err = r.announce(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *Upgrades) count(v Victim, o Outcome, took time.Duration) {
	u.All++
	switch v {
	case OldProcess:
		u.KilledOld++
	case NewProcess:
		u.KilledNew++
	case Nobody:
		u.Longest = max(u.Longest, took)
	}
	switch o {
	case Gone:
		u.Gone++
	case Stayed:
		u.Stayed++
	case Passed:
		u.Passed++
	}
}
