package bench

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

// A Launcher starts servers of one make.
type Launcher interface {
	// Name is the make, for tables.
	Name() string
	// Launch starts one with the given number of loops (threads) and returns
	// when it accepts connections on each of its listeners. The caller stops it.
	Launch(ctx context.Context, loops int) (*Server, error)
}

// Dialect is how a server wants to be spoken to.
type Dialect struct {
	// Subscribe completes the spec of a fleet: path and channels.
	Subscribe func(spec *loadtest.Spec)
	// PublishWS is the path of the WebSocket on which a stream is published.
	PublishWS func(stream int) string
}

// PealDialect names its channels in the request.
var PealDialect = Dialect{
	Subscribe: func(spec *loadtest.Spec) { spec.Channels = max(spec.Channels, 1) },
	PublishWS: func(stream int) string { return "/ws?channel=" + loadtest.ChannelName("c", stream) },
}

// CeilingDialect has no channels, and a path for those who only publish.
var CeilingDialect = Dialect{
	Subscribe: func(spec *loadtest.Spec) { spec.Path, spec.Channels = "/", 0 },
	PublishWS: func(int) string { return "/pub" },
}

// Command launches a program.
type Command struct {
	Label   string
	Args    []string // program and arguments; {port}, {admin} and {loops} are replaced
	Dialect Dialect
	Wait    time.Duration // for each of its ports to accept; default 10 s
}

// Name returns the label.
func (c *Command) Name() string { return c.Label }

// Server is one running child process.
type Server struct {
	Dialect
	Name  string
	Addr  string // 127.0.0.1:port
	Admin string // the same, of the admin port; "" if its command line has none
	PID   int

	cmd   *exec.Cmd
	ended chan struct{} // closed when it was waited for
	err   error         // its end; read after ended
	log   *loadtest.Tail
}

// Launch implements Launcher.
func (c *Command) Launch(ctx context.Context, loops int) (*Server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	replace := strings.NewReplacer("{port}", strconv.Itoa(ports[0]), "{admin}", strconv.Itoa(ports[1]), "{loops}", strconv.Itoa(loops))
	args := make([]string, len(c.Args))
	admin := ""
	for i, a := range c.Args {
		args[i] = replace.Replace(a)
		if strings.Contains(a, "{admin}") {
			admin = "127.0.0.1:" + strconv.Itoa(ports[1])
		}
	}
	s := &Server{
		Dialect: c.Dialect,
		Name:    c.Label,
		Addr:    "127.0.0.1:" + strconv.Itoa(ports[0]),
		Admin:   admin,
		cmd:     exec.Command(args[0], args[1:]...),
		ended:   make(chan struct{}),
		log:     &loadtest.Tail{},
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := spawn(s.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Label, err)
	}
	s.PID = s.cmd.Process.Pid
	go func() { // ends with the process, which Stop sees to
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	wait := c.Wait
	if wait <= 0 {
		wait = 10 * time.Second
	}
	if err := s.listens(ctx, wait); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// listens waits for both ports: a server need not open them at the same moment.
func (s *Server) listens(ctx context.Context, wait time.Duration) error {
	if err := s.accepts(ctx, s.Addr, wait); err != nil || s.Admin == "" {
		return err
	}
	return s.accepts(ctx, s.Admin, wait)
}

// accepts waits until the server listens on addr.
func (s *Server) accepts(ctx context.Context, addr string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended before it accepted: %v\n%s", s.Name, s.err, s.log)
		case <-ctx.Done():
			return fmt.Errorf("%s does not accept on %s: %w\n%s", s.Name, addr, err, s.log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stopWait is how long a server may take to end after SIGTERM.
const stopWait = 3 * time.Second

// Stop ends the server, by its pid: SIGTERM, then SIGKILL. It returns an error
// only when the process cannot be ended. A server that had ended by itself is
// an error of the sample, see Alive.
func (s *Server) Stop() error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-s.ended:
			return nil
		default:
		}
		if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", s.Name, err)
		}
		select {
		case <-s.ended:
			return nil
		case <-time.After(stopWait):
		}
	}
	return fmt.Errorf("stop %s: process %d did not end", s.Name, s.PID)
}

// Alive returns an error with the server's last words if it has ended.
func (s *Server) Alive() error {
	select {
	case <-s.ended:
		return fmt.Errorf("%s ended during the measurement: %v\n%s", s.Name, s.err, s.log)
	default:
		return nil
	}
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // all together, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// The one thread that starts all children. The kernel ends a child with the
// *thread* that started it (Pdeathsig), so that thread must live as long as the
// program; the program's death, even by SIGKILL, then ends the servers.
var (
	starts     = make(chan func())
	startsOnce sync.Once
)

func spawn(cmd *exec.Cmd) error {
	startsOnce.Do(func() {
		go func() { // never ends: see starts
			runtime.LockOSThread()
			for f := range starts {
				f()
			}
		}()
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	starts <- func() { result <- cmd.Start() }
	return <-result
}
