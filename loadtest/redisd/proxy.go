package redisd

import (
	"net"
	"sync"
	"time"

	"peal/loadtest/child"
)

// Way is a direction of a Proxy.
type Way int

// Directions.
const (
	ToServer Way = iota
	ToClient
)

// Proxy passes TCP connections on to a server, and can fail in the ways in which
// networks do. Any goroutine may call its methods.
type Proxy struct {
	addr string

	mu       sync.Mutex
	change   *sync.Cond // of mu: anything below has changed
	target   string
	listener net.Listener // nil while connections are refused
	stalled  [2]bool
	delay    time.Duration
	closed   bool
	links    map[*link]struct{}
	accepted int

	running sync.WaitGroup // goroutines
}

// link is a connection of a client and the one to the server that belongs to it.
type link struct {
	client, server net.Conn
	once           sync.Once
	ended          chan struct{}
}

// NewProxy listens on a free port of 127.0.0.1 for connections to target, host and port.
// The caller closes it.
func NewProxy(target string) (*Proxy, error) {
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	p := &Proxy{addr: child.Loopback(port), target: target, links: make(map[*link]struct{})}
	p.change = sync.NewCond(&p.mu)
	return p, p.listen()
}

func (p *Proxy) listen() error {
	l, err := net.Listen("tcp4", p.addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.running.Go(func() { p.accept(l) })
	return nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.addr }

// Accepted is how many connections there have been.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Cut resets all connections. New ones are good.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end()
	}
}

// Stall holds back what goes that way, of present and new connections, until Go. Nobody
// notices but by waiting.
func (p *Proxy) Stall(way Way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled[way] = true
}

// Delay has everything arrive that much later, either way; 0 ends it. Bytes under way keep
// the delay with which they came.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Refuse resets all connections and refuses new ones, until Go.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	l := p.listener
	p.listener = nil
	p.mu.Unlock()
	if l != nil {
		_ = l.Close() // nothing is lost with it
	}
	p.Cut()
}

// Target has new connections go to another server; it leaves the present ones.
func (p *Proxy) Target(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// Go ends every fault: what was held back goes on, and connections are accepted.
func (p *Proxy) Go() error {
	p.mu.Lock()
	p.stalled, p.delay = [2]bool{}, 0
	refusing := p.listener == nil && !p.closed
	p.change.Broadcast()
	p.mu.Unlock()
	if refusing {
		return p.listen()
	}
	return nil
}

// Close ends the proxy and all connections.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.change.Broadcast()
	p.mu.Unlock()
	p.Refuse()
	p.running.Wait()
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(client, l) })
	}
}

func (p *Proxy) serve(client net.Conn, from net.Listener) {
	p.mu.Lock()
	target := p.target
	p.accepted++
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp4", target, 10*time.Second)
	if err != nil {
		reset(client)
		return
	}
	l := &link{client: client, server: server, ended: make(chan struct{})}
	p.mu.Lock()
	if p.closed || p.listener != from { // it was cut while it was made
		l.end()
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, server, client, ToServer) })
	pumps.Go(func() { p.pump(l, client, server, ToClient) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// piece is what was read at once, and when it may go on.
type piece struct {
	at    time.Time
	bytes []byte
}

// piecesUnderWay bounds what a delay holds, of 32 KiB at most each.
const piecesUnderWay = 1024

// pump passes on what comes from one side until either is closed.
func (p *Proxy) pump(l *link, to, from net.Conn, way Way) {
	defer l.end()
	pieces := make(chan piece, piecesUnderWay)
	p.running.Go(func() {
		defer close(pieces)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if n > 0 {
				p.mu.Lock()
				at := time.Now().Add(p.delay)
				p.mu.Unlock()
				select {
				case pieces <- piece{at, b[:n]}:
				case <-l.ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for piece := range pieces {
		if wait := time.Until(piece.at); wait > 0 {
			select {
			case <-time.After(wait):
			case <-l.ended:
				return
			}
		}
		if !p.mayPass(l, way) {
			return
		}
		if _, err := to.Write(piece.bytes); err != nil {
			return
		}
	}
}

// mayPass waits while the way is stalled; false if the link has ended.
func (p *Proxy) mayPass(l *link, way Way) bool {
	stop := make(chan struct{})
	defer close(stop)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled[way] && !p.closed {
		p.running.Go(func() { // has the wait end with the link
			select {
			case <-l.ended:
				p.mu.Lock()
				p.change.Broadcast()
				p.mu.Unlock()
			case <-stop:
			}
		})
	}
	for p.stalled[way] && !p.closed && !l.hasEnded() {
		p.change.Wait()
	}
	return !p.closed && !l.hasEnded()
}

func (l *link) end() {
	l.once.Do(func() {
		close(l.ended)
		reset(l.client)
		reset(l.server)
	})
}

func (l *link) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// reset closes a connection with RST, so that the other side knows at once.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // then it is an ordinary close
	}
	_ = conn.Close() // nothing is to be saved
}
