package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// ErrEnded means that a child was to be used or stopped after it had ended by
// itself.
var ErrEnded = errors.New("it has ended by itself")

// outputDelay is how long a child's own children may keep its output open.
const outputDelay = time.Second

// Process is one child. The caller stops it.
type Process struct {
	PID int

	group int           // the process group
	ended chan struct{} // closed when the process is gone
	exit  error         // read after ended
	cpu   time.Duration // read after ended
}

// Start starts cmd in a process group of its own. The child is killed when this
// program dies, even by SIGKILL.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	cmd.WaitDelay = outputDelay
	p := &Process{ended: make(chan struct{})}
	started := make(chan error)
	go p.run(cmd, started) // ends with the process
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the child and waits for its end. Pdeathsig is sent when the thread
// that started the child ends, so this goroutine keeps that thread until then.
func (p *Process) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.PID, p.group = cmd.Process.Pid, cmd.Process.Pid
	started <- nil
	if p.exit = cmd.Wait(); errors.Is(p.exit, exec.ErrWaitDelay) {
		p.exit = nil
	}
	p.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	close(p.ended)
}

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Exit waits for the end of the process. It returns nil if the exit status was
// 0, otherwise an *exec.ExitError.
func (p *Process) Exit() error {
	<-p.ended
	return p.exit
}

// Stop ends the process and returns when it is gone. SIGKILL goes to the whole
// process group, any other signal to the process alone; if the process is still
// there after the grace period, its group is killed. killed reports that SIGKILL
// was sent. The error is ErrEnded if the process was gone before.
func (p *Process) Stop(signal syscall.Signal, grace time.Duration) (killed bool, err error) {
	if p.within(0) {
		return false, ErrEnded
	}
	if signal != syscall.SIGKILL {
		if err := syscall.Kill(p.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return false, fmt.Errorf("send %v: %w", signal, err)
		}
		if p.within(grace) {
			return false, nil
		}
	}
	if err := syscall.Kill(-p.group, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		return true, fmt.Errorf("kill: %w", err)
	}
	if !p.within(killWait) {
		return true, fmt.Errorf("process %d did not end within %v of SIGKILL", p.PID, killWait)
	}
	return true, nil
}

// killWait is how long a killed process may take to end.
const killWait = 10 * time.Second

// within reports whether the process ends in that time.
func (p *Process) within(wait time.Duration) bool {
	select {
	case <-p.ended:
		return true
	default:
	}
	select {
	case <-p.ended:
		return true
	case <-time.After(wait):
		return false
	}
}
