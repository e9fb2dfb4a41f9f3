package child

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Role is what a process does that is this binary, started again by this binary.
type Role struct {
	Name string // of the environment variable that assigns the role, and in messages
	// Main plays the role until in ends, which it also does when the starter dies.
	// spec is what the starter wants.
	Main func(spec string, in io.Reader, out io.Writer) error
}

// Play plays the role for which this process was started, and exits. For any
// other process it returns at once. main calls it before anything else.
func Play(roles ...Role) {
	for _, r := range roles {
		spec, ok := os.LookupEnv(r.Name)
		if !ok {
			continue
		}
		if err := r.Main(spec, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", r.Name, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// Twin is a process that plays a role.
type Twin struct {
	*Process
	In  io.WriteCloser // to close it is the sign to end
	Out io.ReadCloser  // its output; the caller closes it
}

// Start starts this binary again to play r. It is killed when ctx ends.
func (r Role) Start(ctx context.Context, spec string) (t *Twin, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	cmd := exec.CommandContext(ctx, self)
	// The race detector would have each process sleep for a second at its end.
	cmd.Env = append(os.Environ(), r.Name+"="+spec, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = os.Stderr
	t = &Twin{}
	if t.In, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// Not StdoutPipe: that is closed at the end of the process, read or not.
	out, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, t.Out = theirs, out
	t.Process, err = Start(cmd)
	_ = theirs.Close() // the child has its own
	if err != nil {
		_, _ = out.Close(), t.In.Close() // the error says more
		return nil, fmt.Errorf("start %s: %w", r.Name, err)
	}
	return t, nil
}

// Wait waits until the process has ended and returns its error. It is killed after
// the grace period.
func (t *Twin) Wait(grace time.Duration) error {
	if !t.within(grace) {
		_, _ = t.Stop(syscall.SIGKILL, 0) // it may just have ended
	}
	if err := t.Exit(); err != nil {
		return fmt.Errorf("process %d: %w", t.PID, err)
	}
	return nil
}
