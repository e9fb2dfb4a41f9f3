package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"peal/loadtest"
)

// server is a program that the experiment starts, ends, and starts again. One
// goroutine calls start and stop in turns; usage may be asked by another.
type server struct {
	command string        // one command, for sh
	addr    string        // where it will accept
	wait    time.Duration // how long it may take to end

	ended chan struct{} // closed when its process is gone
	said  loadtest.Tail // of its output

	mu   sync.Mutex
	pid  int           // 0: it does not run
	used time.Duration // CPU time of those that are gone
}

// Times that a server may take.
const (
	startWait = 20 * time.Second
	stopWait  = 10 * time.Second
)

// start returns when the server accepts connections.
func (v *server) start(ctx context.Context) error {
	if conn, err := net.DialTimeout("tcp4", v.addr, time.Second); err == nil {
		_ = conn.Close() // it was only a question
		return fmt.Errorf("start %q: somebody else accepts on %s", v.command, v.addr)
	}
	begun := make(chan error, 1)
	v.ended = make(chan struct{})
	go v.run(begun) // ends with the process
	if err := <-begun; err != nil {
		return fmt.Errorf("start %q: %w", v.command, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", v.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-v.ended:
			return fmt.Errorf("%q ended instead of accepting on %s: %s", v.command, v.addr, strings.TrimSpace(v.said.String()))
		case <-ctx.Done():
			_, stopping := v.stop(syscall.SIGKILL)
			return errors.Join(fmt.Errorf("%q does not accept on %s: %s", v.command, v.addr, strings.TrimSpace(v.said.String())), stopping)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// run is one process. The kernel ends it with the thread that started it, so
// that none is left behind whatever becomes of this program.
func (v *server) run(begun chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(v.ended)
	cmd := exec.Command("/bin/sh", "-c", "exec "+v.command)
	cmd.Stdout, cmd.Stderr = &v.said, &v.said
	cmd.WaitDelay = time.Second // a child may keep the output open
	// Its own group: Ctrl-C is for the load test, and a kill for all it started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		begun <- err
		return
	}
	v.mu.Lock()
	v.pid = cmd.Process.Pid
	v.mu.Unlock()
	begun <- nil
	_ = cmd.Wait() // how it ended is its own business
	v.mu.Lock()
	v.pid = 0
	v.used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	v.mu.Unlock()
}

// stop sends a signal and returns when the server is gone. SIGKILL goes to all
// its processes. One that does not end in its time after another signal is
// killed, and killed says so.
func (v *server) stop(signal syscall.Signal) (killed bool, err error) {
	pid, _ := v.process()
	if pid == 0 {
		return false, fmt.Errorf("%q has ended by itself: %s", v.command, strings.TrimSpace(v.said.String()))
	}
	to := pid
	if signal == syscall.SIGKILL {
		to = -pid
	}
	if err := syscall.Kill(to, signal); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		return false, fmt.Errorf("end %q: %w", v.command, err)
	}
	select {
	case <-v.ended:
		return signal == syscall.SIGKILL, nil
	case <-time.After(v.wait):
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // it may have ended just now
	<-v.ended
	return true, nil
}

// process is the pid, 0 while there is none, and the CPU time of earlier ones.
func (v *server) process() (pid int, used time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pid, v.used
}

// placePorts gives each server that is to be started its ports, and puts them
// where {port} and {admin} stand: in its command, its target, where to publish
// to it and where its metrics are.
func (s *Settings) placePorts() error {
	if len(s.Start) == 1 && strings.Contains(s.Start[0], "{port}") && len(s.Targets) == 1 && s.Targets[0] == DefaultTarget {
		s.Targets = []string{"ws://127.0.0.1:{port}/ws?channel=bench"}
	}
	for _, list := range []*[]string{&s.Start, &s.Targets, &s.Publish, &s.Admin} {
		*list = append([]string(nil), *list...)
	}
	for i := range s.Start {
		ports, err := newPorts()
		if err != nil {
			return err
		}
		for _, list := range [][]string{s.Start, s.Targets, s.Publish, s.Admin} {
			if i < len(list) {
				list[i] = ports.Replace(list[i])
			}
		}
	}
	return nil
}

// newPorts replaces {port} and {admin} by ports that are free now.
func newPorts() (*strings.Replacer, error) {
	port, err := loadtest.FreePort()
	if err != nil {
		return nil, err
	}
	for {
		admin, err := loadtest.FreePort()
		if err != nil {
			return nil, err
		}
		if admin != port {
			return strings.NewReplacer("{port}", strconv.Itoa(port), "{admin}", strconv.Itoa(admin)), nil
		}
	}
}

// startServers starts what Settings.Start says. stopServers ends it.
func (e *experiment) startServers() error {
	for i, command := range e.s.Start {
		e.say("starting %s", command)
		v := &server{command: command, addr: e.targets[i].Addr, wait: stopWait}
		if err := v.start(e.soft); err != nil {
			return err
		}
		e.servers = append(e.servers, v)
	}
	return nil
}

func (e *experiment) stopServers() {
	for _, v := range e.servers {
		_, _ = v.stop(syscall.SIGTERM) // the report is made; how they end changes nothing
	}
}
