package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is a server that is started and stopped, several times if need be. Set
// the exported fields before the first Start.
type Program struct {
	Name   string        // in error messages
	Args   []string      // the program and its arguments
	Addrs  []string      // TCP addresses on which it will accept
	Accept time.Duration // how long it may take to accept on all of them; 0: 20 s
	Grace  time.Duration // how long it may take to end when asked to; 0: 10 s
	Output io.Writer     // receives its stdout and stderr; nil: only their end is kept, for error messages
	Passes bool          // it may pass on to a process that it starts: see Follow

	tail Tail

	mu      sync.Mutex
	process *Process      // of the last start, or followed; nil before the first
	former  []*Process    // followed by process, and not ended
	used    time.Duration // CPU time of the processes before it
}

// Start starts the program and returns when it accepts on each of its addresses.
// When Start fails, nothing is left running.
func (p *Program) Start(ctx context.Context) error {
	if pid, _ := p.Usage(); pid != 0 {
		return fmt.Errorf("start %s: it already runs as process %d", p.Name, pid)
	}
	for _, addr := range p.Addrs {
		if conn, err := net.DialTimeout("tcp4", addr, time.Second); err == nil {
			_ = conn.Close() // it was only a question
			return fmt.Errorf("start %s: another program accepts on %s", p.Name, addr)
		}
	}
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdout = &p.tail
	if p.Output != nil {
		cmd.Stdout = io.MultiWriter(&p.tail, p.Output)
	}
	if p.Passes {
		end, err := p.pipe(cmd.Stdout)
		if err != nil {
			return fmt.Errorf("start %s: %w", p.Name, err)
		}
		defer end.Close()
		cmd.Stdout = end
	}
	cmd.Stderr = cmd.Stdout
	process, err := Start(cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.mu.Lock()
	if p.process != nil {
		p.used += p.process.cpu
	}
	p.process = process
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, orDefault(p.Accept, 20*time.Second))
	defer cancel()
	for _, addr := range p.Addrs {
		if err := accepts(ctx, process, addr); err != nil {
			_, _ = process.Stop(syscall.SIGKILL, 0) // it may have ended
			return fmt.Errorf("start %s: %w%s", p.Name, err, p.said())
		}
	}
	return nil
}

// pipe is an output that several processes in turn may have, which is not closed when the
// first one ends.
func (p *Program) pipe(to io.Writer) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() { // ends when all processes have
		defer r.Close()
		_, _ = io.Copy(to, r) // what comes of it is for people
	}()
	return w, nil
}

// Follow has the program, whose Passes is set, be the process pid, which its process has started and which
// goes on for it. It waits for the end of the former one.
func (p *Program) Follow(ctx context.Context, pid int) error {
	if p.process == nil {
		return fmt.Errorf("follow %s: %w", p.Name, ErrEnded)
	}
	next, err := Follow(pid)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	before := p.process
	p.mu.Lock()
	p.process, p.former = next, append(p.former, before)
	p.mu.Unlock()
	select {
	case <-before.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s: process %d does not end: %w", p.Name, before.PID, ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.former = p.former[:len(p.former)-1]
	p.used += before.cpu
	return nil
}

// accepts waits until something accepts on addr, as long as the process is there.
func accepts(ctx context.Context, process *Process, addr string) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-process.ended:
			return fmt.Errorf("it ended before it accepted on %s: %w", addr, describe(process.exit))
		case <-ctx.Done():
			return fmt.Errorf("it does not accept on %s: %w", addr, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Stop ends the program: see Process.Stop.
func (p *Program) Stop(signal syscall.Signal) (killed bool, err error) {
	if p.process == nil {
		return false, fmt.Errorf("stop %s: %w", p.Name, ErrEnded)
	}
	for _, one := range p.former { // an error says that it has ended
		_, _ = one.Stop(syscall.SIGKILL, 0)
	}
	killed, err = p.process.Stop(signal, orDefault(p.Grace, 10*time.Second))
	if err != nil {
		err = fmt.Errorf("stop %s: %w%s", p.Name, err, p.said())
	}
	return killed, err
}

// Alive returns an error with the end of its output if the program does not run.
func (p *Program) Alive() error {
	if pid, _ := p.Usage(); pid != 0 {
		return nil
	}
	return fmt.Errorf("%s: %w%s", p.Name, ErrEnded, p.said())
}

// Exits waits until no process of the program runs.
func (p *Program) Exits(ctx context.Context) error {
	if p.process == nil {
		return nil
	}
	select {
	case <-p.process.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: process %d does not end: %w", p.Name, p.process.PID, ctx.Err())
	}
}

// Exit returns how the last process ended: see Process.Exit.
func (p *Program) Exit() error { return p.process.Exit() }

// Usage returns the pid, 0 while the program does not run, and the CPU time that
// its ended processes have used.
func (p *Program) Usage() (pid int, used time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0, 0
	}
	if p.process.within(0) {
		return 0, p.used + p.process.cpu
	}
	return p.process.PID, p.used
}

// said is the end of the output, to be put behind an error.
func (p *Program) said() string {
	if said := strings.TrimSpace(p.tail.String()); said != "" {
		return ": " + said
	}
	return ""
}

func describe(exit error) error {
	if exit == nil {
		return errors.New("exit status 0")
	}
	return exit
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
