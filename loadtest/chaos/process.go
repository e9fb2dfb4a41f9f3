package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a server that is a program. Start and Stop are called in turns by
// one goroutine, which should be locked to its thread: when that ends, the
// kernel ends the server, so none is left behind, whatever ends the program.
type Process struct {
	Args []string // the program and its arguments
	Addr string   // where it will accept
	Log  io.Writer
	Dir  string // of its log in files, "" for none; the copy is beside it

	cmd   *exec.Cmd
	ended chan error
}

// Times that a process may take.
const (
	startWait = 20 * time.Second
	stopWait  = 10 * time.Second
)

// Start returns when the server accepts connections.
func (p *Process) Start(ctx context.Context) error {
	p.cmd = exec.Command(p.Args[0], p.Args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = p.Log, p.Log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	p.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(p.cmd, p.ended) // ends with the process
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", p.Addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-p.ended:
			p.cmd = nil
			return fmt.Errorf("the server ended instead of accepting on %s: %v", p.Addr, err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the server does not accept on %s: %w", p.Addr, err), p.Stop(true))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends the server, by SIGKILL or by SIGTERM, and returns when it is gone.
// A server that had ended by itself is an error.
func (p *Process) Stop(kill bool) error {
	if p.cmd == nil {
		return nil
	}
	select {
	case err := <-p.ended:
		p.cmd = nil
		return fmt.Errorf("the server ended by itself: %v", err)
	default:
	}
	signal := syscall.SIGTERM
	if kill {
		signal = syscall.SIGKILL
	}
	defer func() { p.cmd = nil }()
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the server: %w", err)
	}
	select {
	case err := <-p.ended:
		if !kill && err != nil {
			return fmt.Errorf("the server was asked to end and failed: %w", err)
		}
		return nil
	case <-time.After(stopWait):
		err := p.cmd.Process.Kill()
		<-p.ended
		return errors.Join(fmt.Errorf("the server did not end within %v of SIGTERM", stopWait), err)
	}
}
