package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"peal/loadtest"
)

// Server is what is killed and started again, on one address.
type Server interface {
	// Start returns when it accepts connections.
	Start(ctx context.Context) error
	// Stop ends it, with or without warning, and returns when it is gone.
	Stop(kill bool) error
}

// Backup is a server whose log can be copied and put back.
type Backup interface {
	Server
	// Copy copies the log, while the server runs or not.
	Copy() error
	// Restore puts the copy in the place of the log. The server is stopped.
	Restore() error
}

// Config is one run. All fields must be set, but for those that say what their
// zero value means; Default sets them.
type Config struct {
	Addr       string   // 127.0.0.1:port; of a cluster: not used
	Nodes      []string // the same of each node of a cluster; nil: one server
	Seed       uint64
	Length     time.Duration // of publishing
	CatchUp    time.Duration // that clients are given at the end
	Clients    int
	Channels   int
	Publishers int
	Rate       float64       // messages per second, of all publishers
	Restart    time.Duration // between two, on average; 0: none
	Transports []string      // names of those that clients use; nil: all
	Keeps      Keeps         // what a restart leaves
	Restore    bool          // at every other restart a copy of the log is put back; the server is a Backup, and keeps something
	History    int           // messages that each channel retains at least; 0: unknown
	Upgrade    bool          // in the place of restarts; the server is an Upgrader
	Spare      bool          // with Upgrade: no process is killed
	Kills      int           // with Upgrade and a log that keeps everything: after so many, the disturbances end; 0: after Length
	Access     *Access       // nil: the server needs no tokens
	TLS        *loadtest.TLS // nil: cleartext
	Webhooks   *Webhooks     // nil: none. With a log that keeps everything
	Questions  *Questions    // nil: none. Of one server
	Latest     int           // so many of the last channels send slow clients the newest message only
	Log        io.Writer     // errors of the clients; nil: none
}

// addrs are the servers.
func (c *Config) addrs() []string {
	if c.Nodes == nil {
		return []string{c.Addr}
	}
	return c.Nodes
}

// endpoint is a server, by its index in addrs.
func (c *Config) endpoint(node int) loadtest.Endpoint {
	return loadtest.Endpoint{Addr: c.addrs()[node], TLS: c.TLS}
}

// Default returns the run of scripts/chaos.sh, without address and seed.
func Default() Config {
	return Config{Length: time.Minute, CatchUp: 30 * time.Second, Clients: 2000, Channels: 50, Publishers: 5, Rate: 100, Restart: 4 * time.Second}
}

// Report is what a run came to.
type Report struct {
	Figures
	Verdict
	Behind   int         // clients that did not have everything at the end
	Webhooks *Deliveries // nil: none
	Answers  *Answers    // to Questions; nil: none
}

// Clean reports that every promise was kept.
func (r *Report) Clean() bool {
	return r.Verdict.Clean() && r.Behind == 0 && r.Ended == 0 && r.Webhooks.Clean() && r.Answers.Clean()
}

// Figures count what happened. The names in JSON are Summary's.
type Figures struct {
	Clients      int    `json:"clients"`
	Connections  uint64 `json:"connections"`
	Disconnects  uint64 `json:"-"`                    // by clients
	Changes      uint64 `json:"changes_of_transport"` // of transport
	Stalls       uint64 `json:"stalls"`
	Ended        uint64 `json:"ended_by_server"` // connections that the server ended while it was serving, and their clients wanted
	Kills        uint64 `json:"kills"`
	Terms        uint64 `json:"terms"`
	Restores     uint64 `json:"restores,omitempty"` // of an older copy of the log
	Tokens       uint64 `json:"tokens,omitempty"`
	Renewals     uint64 `json:"renewals,omitempty"` // on a live connection
	Revocations  uint64 `json:"revocations,omitempty"`
	Refused      uint64 `json:"refused,omitempty"`   // connections whose token lacked a channel
	Ungranted    uint64 `json:"ungranted,omitempty"` // messages that the token of the connection did not grant
	Lives        int    `json:"-"`
	Repeats      uint64 `json:"-"`               // of publications, with their idempotency key
	Nodes        int    `json:"nodes,omitempty"` // of a cluster
	Moves        uint64 `json:"changes_of_node,omitempty"`
	ComeBacks    uint64 `json:"come_backs,omitempty"` // connections that a node of a cluster refused or ended: come back later, or elsewhere
	Published    int    `json:"published"`
	Acknowledged int    `json:"-"`

	Upgrades  *Upgrades      `json:"upgrades,omitempty"`
	Disturbed map[string]int `json:"disturbed,omitempty"` // how often what happened to a cluster
}

// run is the state of one run.
type run struct {
	Config
	transports   []transport
	lives        lives
	ledger       ledger
	ending       chan struct{} // closed when publishers shall send the last messages
	allPublished chan struct{} // closed when they have

	mu      sync.Mutex
	figures Figures
	faults  []string
	ends    []string
	last    map[int32]uint64 // by channel: id of its last message

	restored map[int32]bool // lives that began with a copy; restarts' until it has ended

	// branch counts copies that were put back. A publisher holds it for reading
	// while it sends: a message is repeated on the branch on which it was sent
	// first, or not at all, for on another it would be a second one.
	branchMu sync.RWMutex
	branch   uint64

	losses []span // of the log of a cluster; the disturber's until it has ended

	peace []peace // by node

	began   time.Time
	starts  atomic.Int32  // of the server
	sources atomic.Uint32 // addresses that clients have used
}

// now is the time since the run began.
func (r *run) now() time.Duration { return time.Since(r.began) }

// source is the address of the next connection of a client: with Questions one of its own, by which an answer names
// the connection.
func (r *run) source(client int) string {
	if r.Questions == nil {
		return "127.0.0." + strconv.Itoa(2+client%100)
	}
	n := r.sources.Add(1)
	return netip.AddrFrom4([4]byte{127, byte(16 + n>>16), byte(n >> 8), byte(n)}).String()
}

func (r *run) count(n *uint64) { atomic.AddUint64(n, 1) }

func (r *run) published() bool { return isClosed(r.allPublished) }

func isClosed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

// fault records a response that no server may give.
func (r *run) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// ended records why the server ended a connection, of the first few.
func (r *run) ended(client int, transport string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ends) < maxEnds {
		r.ends = append(r.ends, fmt.Sprintf("the server ended a connection of client %d, %s: %v", client, transport, err))
	}
}

// maxEnds is how many of them a report names.
const maxEnds = 5

// startWait is how long a server that accepts connections may refuse messages.
const startWait = 20 * time.Second

// Run starts server, disturbs it and its clients, and judges. An error means that the run
// itself failed; broken promises are in the report.
func Run(ctx context.Context, c Config, server Server) (report Report, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := newRun(c)
	if err != nil {
		return report, err
	}
	if err := r.start(ctx, server, false); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, server.Stop(true)) }()
	return r.play(ctx, cancel, func() error {
		if r.Upgrade {
			return r.upgrades(ctx, server.(Upgrader))
		}
		return r.restarts(ctx, server)
	})
}

func newRun(c Config) (*run, error) {
	transports, err := choose(c.Transports)
	r := &run{Config: c, transports: transports, ending: make(chan struct{}), allPublished: make(chan struct{}), last: map[int32]uint64{},
		restored: map[int32]bool{}, lives: lives{shared: c.Nodes != nil}, peace: make([]peace, len(c.addrs())), began: time.Now()}
	for i := range r.peace {
		r.peace[i].disturbers = 1
	}
	if c.Webhooks != nil {
		err = errors.Join(err, c.Webhooks.start(r))
	}
	return r, err
}

// play has clients follow and publishers publish while disturb runs, and judges. cancel
// ends ctx.
func (r *run) play(ctx context.Context, cancel func(), disturb func() error) (report Report, err error) {
	hooked, err := r.hook(ctx)
	if err != nil {
		return report, err
	}
	clients := make([]*client, r.Clients)
	var following, publishing sync.WaitGroup
	for i := range clients {
		clients[i] = newClient(r, i)
		following.Go(func() { clients[i].live(ctx) })
	}
	for i := range r.Publishers {
		publishing.Go(func() { r.publish(ctx, i) })
	}
	if r.Access != nil {
		publishing.Go(func() { r.revoke(ctx, clients) })
	}
	if r.Questions != nil {
		publishing.Go(func() { r.Questions.askAlong(ctx, r, clients) })
	}
	disturbed := disturb()
	close(r.ending)
	publishing.Wait()
	close(r.allPublished)
	disturbed = errors.Join(disturbed, hooked.stop())
	if disturbed == nil {
		r.catchUp(ctx, clients)
		hooked.finish(ctx)
		r.Questions.askRest(ctx, r, clients)
	}
	if err := errors.Join(disturbed, ctx.Err()); err != nil {
		cancel()
		following.Wait()
		return report, err
	}
	cancel()
	following.Wait()
	report = r.judge(clients)
	hooked.judge(&report)
	return report, nil
}

// start starts the server and publishes the first message of its life. restored:
// it finds an older copy of its log.
func (r *run) start(ctx context.Context, server Server, restored bool) error {
	r.starts.Add(1)
	if err := server.Start(ctx); err != nil {
		return err
	}
	id, err := r.announce(ctx)
	if err == nil && restored {
		r.restored[r.ledger.at(id).life] = true
	}
	if err == nil {
		r.peace[0].restore(0)
	}
	return err
}

// announce publishes a message, in a life of the server that may have begun just now.
func (r *run) announce(ctx context.Context) (id uint64, err error) {
	p := publisher{run: r, rnd: rand.New(rand.NewPCG(r.Seed, 0))}
	defer p.hangUp()
	for end := time.Now().Add(startWait); ; pause(ctx, publisherPauses) {
		id, err = p.publish(ctx, int32(r.Channels))
		if err == nil || ctx.Err() != nil {
			return id, ctx.Err()
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("the server accepts connections and no message: %w", err)
		}
	}
}

// restarts ends and starts the server until Length is over.
func (r *run) restarts(ctx context.Context, server Server) error {
	rnd := rand.New(rand.NewPCG(r.Seed, 1<<32))
	over := time.NewTimer(r.Length)
	defer over.Stop()
	copied, restored := false, false
	for kill := true; ; kill = !kill {
		wait := make(<-chan time.Time)
		if r.Restart > 0 {
			wait = time.After(time.Duration((0.6 + 0.8*rnd.Float64()) * float64(r.Restart)))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			if r.Questions.goesOn(r) {
				over.Reset(r.Length / 4)
				kill = !kill // as if there had been no turn
				continue
			}
			return nil
		case <-wait:
		}
		hot := rnd.IntN(2) == 0
		if r.Restore {
			kill = rnd.IntN(2) == 0 // in turns, all copies would be of logs that end alike
		}
		if r.Restore && !copied && hot {
			if err := server.(Backup).Copy(); err != nil {
				return err
			}
		}
		r.peace[0].disturb()
		if err := server.Stop(kill); err != nil {
			return err
		}
		if restored = r.Restore && copied; restored {
			if err := r.restore(server.(Backup)); err != nil {
				return err
			}
		} else if r.Restore && !hot {
			if err := server.(Backup).Copy(); err != nil {
				return err
			}
		}
		copied = !copied
		if kill {
			r.count(&r.figures.Kills)
		} else {
			r.count(&r.figures.Terms)
		}
		pause(ctx, time.Duration(rnd.Int64N(int64(maxPause)))) // clients find no server
		if err := r.start(ctx, server, restored); err != nil {
			return err
		}
	}
}

// restore puts the copy back. No message that was sent before is sent again then.
func (r *run) restore(server Backup) error {
	r.count(&r.figures.Restores)
	r.branchMu.Lock()
	defer r.branchMu.Unlock()
	r.branch++
	return server.Restore()
}

// publish is publisher number i, to every Publishers-th channel.
func (r *run) publish(ctx context.Context, i int) {
	p := publisher{run: r, rnd: rand.New(rand.NewPCG(r.Seed, uint64(1<<33+i)))}
	for c := i; c < r.Channels; c += r.Publishers {
		p.channels = append(p.channels, int32(c))
	}
	if len(p.channels) == 0 {
		return
	}
	last := p.live(ctx, r.Rate/float64(r.Publishers))
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, id := range last {
		r.last[c] = id
	}
}

// catchUp waits until every client has the last message of its channels.
func (r *run) catchUp(ctx context.Context, clients []*client) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(r.CatchUp); time.Now().Before(end); {
		done := true
		for _, c := range clients {
			done = c.finish(r.last) && done
		}
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// judge is called when all goroutines of the run have ended.
func (r *run) judge(clients []*client) Report {
	report := Report{Figures: r.figures}
	report.Figures.Clients, report.Lives, report.Published, report.Nodes = len(clients), r.lives.count(), len(r.ledger.all), len(r.Nodes)
	for _, p := range r.ledger.all {
		if !p.at.isZero() {
			report.Acknowledged++
		}
	}
	journals := make([]*journal, len(clients))
	var behind []string
	for i, c := range clients {
		journals[i] = &c.journal
		if !c.done {
			report.Behind++
			behind = append(behind, c.lacks())
		}
	}
	w := newWorld(r.Keeps, r.restored, r.ledger.all, journals, report.Lives)
	w.losses, w.latest, w.began = r.losses, int32(r.Channels-r.Latest), r.began
	report.Verdict = pass(w, r.History, journals)
	report.Answers = r.Questions.judge(w, journals)
	report.Faults += uint64(len(r.faults))
	report.Findings = slices.Concat(report.Findings, r.faults, r.ends, behind[:min(len(behind), findingsOfAKind)], report.Answers.findings())
	return report
}
