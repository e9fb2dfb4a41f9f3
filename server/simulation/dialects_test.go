package simulation_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"peal/server/app"
	"peal/server/grant"
	"peal/server/httpapi"
	proof "peal/server/identity"
	"peal/server/log"
	"peal/server/mercure"
	"peal/server/refusal"
	"peal/server/session"
)

// dialects are what worlds with other protocols have more: one app of the Pusher protocol, and
// tokens of the Mercure protocol.
type dialects struct {
	namespace string   // of the app
	pusher    []string // open channels of the app; those of all are plan.open
	closed    []string // channels of the app that need a grant
	apps      *app.Table
	mercure   *proof.Mercure
}

// The app, and the tokens of topics: for one topic, and for all.
const (
	appID, appKey, appSecret = "1", "key", "a-secret-of-the-simulation"

	tokenOfOne, tokenOfAll = "a.one.c", "a.all.c"
)

// privateOf is the channel of the private updates of a topic.
func privateOf(topic string) string { return "$private:" + topic }

// speakOthers adds other protocols to a plan.
func (p *plan) speakOthers(r *rand.Rand) {
	d := &dialects{namespace: []string{"", "shop:"}[r.IntN(2)]}
	p.dialects, p.deflates = d, false
	for _, name := range []string{"A", "B", "cache-C", "d_=@,.;1"}[:1+r.IntN(4)] {
		d.pusher = append(d.pusher, d.namespace+name)
	}
	for _, name := range []string{"private-P", "private-Q"} {
		d.closed = append(d.closed, d.namespace+name)
	}
	p.open = slices.Concat(d.pusher, []string{"news/ä", "https://example.org/x?y=z&a"}[:r.IntN(3)])
	p.names = slices.Concat(p.open, d.closed)
	for _, topic := range slices.Clone(p.names) {
		p.names = append(p.names, privateOf(topic))
	}
	var err error
	if d.apps, err = app.New([]app.Definition{{ID: appID, Key: appKey, Secret: appSecret, Namespace: d.namespace}}, false, nil); err != nil {
		panic(err)
	}
	all, one := selectors("*"), selectors(p.open[0])
	tokens := knownTokens{
		tokenOfOne: {Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(one, one)},
		tokenOfAll: {Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(all, all)},
	}
	d.mercure = &proof.Mercure{Publishers: tokens, Subscribers: tokens, Anonymous: true, Cookie: "mercureAuthorization", Query: true}
}

func selectors(list ...string) grant.Selectors {
	s, err := mercure.Compile(list)
	if err != nil {
		panic(err)
	}
	return s
}

// knownTokens are verified at once.
type knownTokens map[string]*grant.Grant

func (t knownTokens) Cached(text []byte) (*grant.Grant, *refusal.Error, bool) {
	return t[string(text)], nil, true
}
func (t knownTokens) Verify(text []byte) (*grant.Grant, *refusal.Error) { return t[string(text)], nil }
func (t knownTokens) Drop(func(*grant.Grant) bool)                      {}

func (d *dialects) serve(deps *httpapi.Deps) { deps.Apps, deps.Mercure = d.apps, d.mercure }

// allows tells whether a token of the Mercure protocol grants a topic.
func (p *plan) allows(token, topic string) bool {
	return token == tokenOfAll || token == tokenOfOne && topic == p.open[0]
}

// short is the channel as clients of the app name it.
func (d *dialects) short(channel string) string { return strings.TrimPrefix(channel, d.namespace) }

// closedName chooses a channel that needs a grant, "" if there is none.
func (w *world) closedName() string {
	if w.plan.dialects == nil {
		return ""
	}
	return w.plan.dialects.closed[w.rnd.IntN(len(w.plan.dialects.closed))]
}

// foreignAsk is a request of another protocol.
func (w *world) foreignAsk(c *client, s start) ask {
	a := ask{transport: pusherSocket, json: w.rnd.IntN(2) == 0, start: s, topics: c.topics}
	if w.rnd.IntN(2) == 0 {
		return a
	}
	a.transport, a.json = mercureStream, false
	if a.start.how == fromLast { // it has no word for that
		a.start = start{how: fromNow}
	}
	if len(c.topics) == 0 && w.rnd.IntN(2) == 0 {
		c.topics = []string{tokenOfOne, tokenOfAll}[w.rnd.IntN(2)]
	}
	a.topics = c.topics
	topics := slices.Clone(c.channels)
	if w.rnd.IntN(4) == 0 {
		topics = append(topics, w.closedName())
		a.forbidden = !w.plan.allows(a.topics, topics[len(topics)-1])
	}
	a.channels = topics
	for _, topic := range topics {
		if w.plan.allows(a.topics, topic) {
			a.channels = append(a.channels, privateOf(topic))
		}
	}
	return a
}

// trespass has a client ask for a channel that it needs a grant for, and has none.
func (w *world) trespass(a *ask) {
	if w.plan.dialects != nil && w.rnd.IntN(10) == 0 {
		a.channels, a.forbidden = append(slices.Clone(a.channels), w.closedName()), true
	}
}

// judgeTrespass checks that a request is refused for want of a grant.
func (w *world) judgeTrespass(c *conn, x *exchange) {
	switch {
	case !x.ask.forbidden:
	case x.isSubscribed():
		w.fail("%s: it is subscribed to a channel without a grant: %.300q", c, x.wire)
	case x.ask.transport.isSocket():
		w.counts[forbidden]++
		c.expected = codeForbidden
		c.shallEnd()
	}
}

// promise is what a backend or client was promised about a publication: whom it leaves out, and
// the channels that it has, all of them in one entry or each in one of its own.
type promise struct {
	exclude  session.ID
	channels []string
	joined   bool
}

// promise notes what the publication with that number must become.
func (w *world) promise(number int, p promise) {
	if w.promised == nil {
		w.promised = map[int]promise{}
	}
	slices.Sort(p.channels)
	w.promised[number] = p
}

// judgeEntry checks what a publication in another protocol has become.
func (w *world) judgeEntry(number int, e *log.Entry) {
	p, ok := w.promised[number]
	if !ok {
		return
	}
	w.counts[foreign]++
	var exclude session.ID
	if e.Exclude != nil {
		exclude = *e.Exclude
	}
	got := slices.Sorted(slices.Values(channelsOf(e)))
	right := slices.Equal(got, p.channels)
	if !p.joined {
		right = len(got) == 1 && slices.Contains(p.channels, got[0])
	}
	if exclude != p.exclude || !right {
		w.fail("publication %d is on %q without session %s, and should be on %q without %s", number, got, exclude, p.channels, p.exclude)
	}
}

// TestSimulationOfDialects runs schedules in which clients and backends of the Pusher and of the
// Mercure protocol are among the others. PEAL_SEED and PEAL_SEEDS are as in TestSimulation.
func TestSimulationOfDialects(t *testing.T) {
	seeds := uint64(plantedDialectSeeds)
	if raceEnabled || testing.Short() {
		seeds = 40
	}
	first, seeds := seedsFromEnv(t, seeds)
	var sum counts
	for seed := first; seed < first+seeds && !t.Failed(); seed++ {
		var w *world
		synctest.Test(t, func(*testing.T) {
			w = newWorld(seed, bug{dialects: true})
			w.run(stepsOfSeed)
		})
		if w.failure != "" {
			t.Errorf("%s\nalone: PEAL_SEED=%d go test ./server/simulation -run '^TestSimulationOfDialects$'", w.failure, seed)
		}
		for i, n := range w.counts {
			sum[i] += n
		}
	}
	t.Logf("seeds %d–%d, %d steps each: %s; %d subscriptions of the Pusher protocol with %d messages, %d updates of Mercure, %d of them private, %d requests without a grant, %d publications in these protocols",
		first, first+seeds-1, stepsOfSeed, sum, sum[pushes], sum[pushed], sum[updates], sum[private], sum[forbidden], sum[foreign])
	for i := kindsOfAll; i < upgrades; i++ {
		if sum[i] == 0 && seeds >= 40 && !t.Failed() {
			t.Errorf("count %d is 0: the schedules met too little to prove anything", i)
		}
	}
}
