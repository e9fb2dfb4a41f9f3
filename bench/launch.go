package bench

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/dialect"
)

// Command launches servers with one command line.
type Command struct {
	Label string        // name in tables and messages
	Args  []string      // program and arguments; {port}, {admin} and {loops} are replaced
	Bare  bool          // the ceiling's protocol: no channels, and publishers connect to /pub
	TLS   *loadtest.TLS // how clients connect; nil: without TLS
	Path  string        // where subscribers connect, instead of Peal's path and channels
	Wait  time.Duration // until all its ports accept connections; 0: 20 s
	Credentials

	turn *Turn // of its servers
}

// Credentials are further lines of the requests of clients, each with its CRLF.
type Credentials struct {
	Subscriber string // a template
	Publisher  string
	Data       dialect.Data // of subscribers
}

// Server is one running child process.
type Server struct {
	Name  string
	Addr  string // 127.0.0.1:port
	Admin string // 127.0.0.1:port of its metrics; "" if its command line has no {admin}
	PID   int

	Credentials

	turn    *Turn
	socket  string // unix:/path, where publishers over HTTP connect; "": Addr
	bare    bool   // see Command.Bare
	path    string
	trust   *loadtest.TLS
	program *child.Program
}

// address makes the subscribers of spec connect to s.
func (s *Server) address(spec *loadtest.Spec) {
	spec.Addr, spec.TLS, spec.Header = s.Addr, s.trust, s.Subscriber
	if s.path != "" {
		spec.Path, spec.Channels = s.path, 0
	}
	if s.Data.Given() {
		spec.Data = s.Data
	}
	if s.bare && isWebSocket(spec.Transport) {
		spec.Path, spec.Channels = "/", 0
	}
}

func isWebSocket(t loadtest.Transport) bool { return t == "" || t == loadtest.WebSocket }

// publisher opens one WebSocket per channel.
func (s *Server) publisher(ctx context.Context, channels int) (*loadtest.Publisher, error) {
	return loadtest.DialPublisher(ctx, loadtest.PublishTarget{Endpoint: loadtest.Endpoint{Addr: s.Addr, TLS: s.trust}, WebSocket: true, Header: s.Publisher, Streams: channels, Path: func(channel int) string {
		if s.bare {
			return "/pub"
		}
		return "/ws?channel=" + loadtest.ChannelName("c", channel)
	}})
}

// stopWait is how long a server may take to exit after SIGTERM.
const stopWait = 3 * time.Second

// Launch starts one server with the given number of loops (threads) and returns
// when it accepts connections on each of its listeners. The caller stops it.
func (c *Command) Launch(ctx context.Context, loops int) (*Server, error) {
	ports, err := child.FreePorts()
	if err != nil {
		return nil, err
	}
	s := &Server{Credentials: c.Credentials, turn: c.turn, bare: c.Bare, path: c.Path, trust: c.TLS, Name: c.Label, Addr: child.Loopback(ports.Port)}
	s.program = &child.Program{Name: c.Label, Args: slices.Clone(c.Args), Addrs: []string{s.Addr}, Accept: c.Wait, Grace: stopWait}
	for i, arg := range c.Args {
		if s.Admin == "" && strings.Contains(arg, "{admin}") {
			s.Admin = child.Loopback(ports.Admin)
			s.program.Addrs = append(s.program.Addrs, s.Admin)
		}
		s.program.Args[i] = strings.ReplaceAll(ports.Replace(arg), "{loops}", strconv.Itoa(loops))
	}
	if err := s.program.Start(ctx); err != nil {
		return nil, err
	}
	s.PID, _ = s.program.Usage()
	return s, nil
}

// Stop sends SIGTERM, then SIGKILL. It returns an error only if the process does not
// end. For a server that exited by itself, see Alive.
func (s *Server) Stop() error {
	if _, err := s.program.Stop(syscall.SIGTERM); err != nil && !errors.Is(err, child.ErrEnded) {
		return err
	}
	return nil
}

// Alive returns an error with the end of the server's output if it has exited.
func (s *Server) Alive() error { return s.program.Alive() }
