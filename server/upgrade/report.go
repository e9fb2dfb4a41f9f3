package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Order is what an operator can say about an upgrade.
type Order struct {
	Binary string // absolute path of the program to start; "" for that of the running process
}

// ErrUnderWay says that one upgrade at a time is enough.
var ErrUnderWay = errors.New("an upgrade is under way: wait for its end")

// Report is what an upgrade has done, for operators.
type Report struct {
	Process       int            `json:"process"` // that serves now
	Version       string         `json:"version"`
	ProcessBefore int            `json:"process_before"`
	VersionBefore string         `json:"version_before"`
	Connections   int            `json:"connections"` // handed over
	Stayed        map[string]int `json:"stayed"`      // with the process before, which says good-bye to them; by why
	Pause         float64        `json:"pause_ms"`    // how long clients waited
	Took          float64        `json:"took_ms"`     // from the start of the new process on
}

// Stats are the upgrades of a server since the start of its first process.
type Stats struct {
	Began             time.Time // the first process
	Completed, Failed uint64
	Last              *Last // by which this process serves; nil: it is the first one
}

// Last is an upgrade as the new process has seen it.
type Last struct {
	At            time.Time
	ProcessBefore int
	VersionBefore string
	Pause         time.Duration // from the freeze until the loops of this process ran
	Connections   int           // handed over
	Stayed        int           // with the process before
}

// Explain is why an upgrade was not completed, for the operator. cause is that of the end of
// the context of Offer, nil if it has not ended.
func (l Limits) Explain(o Outcome, cause, err error) error {
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case cause != nil:
		return cause
	case late && o.Frozen > 0:
		return fmt.Errorf("connections would have waited for longer than upgrade-pause (%v): raise it, or try again when the server has less to do (%w)", l.Frozen, err)
	case late:
		return fmt.Errorf("the new process was not ready within upgrade-timeout (%v): raise it if its log has more than it can read in this time (%w)", l.Ready, err)
	}
	return err
}
