package presence_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"peal/server/presence"
	"peal/server/publication"
)

// model is who is where, as plainly as can be.
type model struct {
	config   presence.Config
	channels map[string]map[string]*modelMember
	left     int
}

type modelMember struct {
	info        string
	connections int
	until       time.Time
	left        int // the last to have left has the highest
}

func (m *model) count() (n int) {
	for _, c := range m.channels {
		n += len(c)
	}
	return n
}

func (m *model) join(channel, client, info string) bool {
	c := m.channels[channel]
	if c[client] == nil {
		if len(c) == m.config.ChannelMembers || m.count() == m.config.Members && !m.giveUp() {
			return false
		}
		if c == nil {
			c = map[string]*modelMember{}
			m.channels[channel] = c
		}
		c[client] = &modelMember{}
	}
	if info != "" {
		c[client].info = info
	}
	c[client].connections++
	return true
}

// giveUp takes the last to have left, who has no connection any more.
func (m *model) giveUp() bool {
	var last *modelMember
	for _, c := range m.channels {
		for _, other := range c {
			if other.connections == 0 && (last == nil || other.left > last.left) {
				last = other
			}
		}
	}
	for _, c := range m.channels {
		maps.DeleteFunc(c, func(_ string, other *modelMember) bool { return other == last })
	}
	return last != nil
}

func (m *model) leave(channel, client string, now time.Time) {
	c := m.channels[channel][client]
	c.connections--
	m.left++
	c.left = m.left
	c.until = now.Add(m.config.Grace)
}

func (m *model) endGrace(channel, client string, now time.Time) {
	if c := m.channels[channel][client]; c != nil && c.connections == 0 {
		c.until = now
	}
}

func (m *model) tick(now time.Time) {
	for _, c := range m.channels {
		maps.DeleteFunc(c, func(_ string, m *modelMember) bool { return m.connections == 0 && !m.until.After(now) })
	}
}

func (m *model) list(channel string) (all []publication.Member) {
	for client, c := range m.channels[channel] {
		all = append(all, publication.Member{Client: client, Info: c.info})
	}
	slices.SortFunc(all, func(a, b publication.Member) int { return cmp.Compare(a.Client, b.Client) })
	return all
}

func (m *model) connections(channel string) (n int) {
	for _, c := range m.channels[channel] {
		n += c.connections
	}
	return n
}

// follower keeps a list of one channel as docs/protocol.md says.
type follower struct {
	channel string
	members map[string]string // info by client; nil: it must ask for the list
	read    int               // events of the rig that it has seen
}

func (f *follower) ask(r *rig) {
	f.read, f.members = len(r.events), map[string]string{}
	for _, m := range r.list(f.channel, 3) {
		f.members[m.Client] = m.Info
	}
}

func (f *follower) follow(r *rig) {
	for ; f.read < len(r.events); f.read++ {
		e := r.events[f.read]
		switch {
		case e.Channel != f.channel:
		case e.Unnamed:
			f.members = nil
		case f.members != nil:
			for _, m := range e.Join {
				f.members[m.Client] = m.Info
			}
			for _, m := range e.Leave {
				delete(f.members, m.Client)
			}
		}
	}
}

// schedule is one random run of the table beside the model.
type schedule struct {
	*rig
	model     model
	random    *rand.Rand
	open      [][2]string // channel and client of each connection
	followers []*follower
}

func (s *schedule) channel() string { return fmt.Sprint("c", s.random.IntN(3)) }

func (s *schedule) step() error {
	switch n := s.random.IntN(100); {
	case n < 35:
		channel, client, info := s.channel(), fmt.Sprint("client", s.random.IntN(12)), ""
		if s.random.IntN(3) == 0 {
			info = fmt.Sprint(s.random.IntN(3))
		}
		got, want := s.Join(channel, client, info), s.model.join(channel, client, info)
		if got != want {
			return fmt.Errorf("join of %s on %s: %v, want %v", client, channel, got, want)
		}
		if got {
			s.open = append(s.open, [2]string{channel, client})
		}
	case n < 65:
		if len(s.open) > 0 {
			s.close(s.random.IntN(len(s.open)))
		}
	case n < 80:
		s.time = s.time.Add(time.Duration(s.random.IntN(300)) * time.Millisecond)
		s.full = s.random.IntN(4) == 0
		s.tick()
	case n < 85:
		f := &follower{channel: s.channel()}
		s.Watch(f.channel)
		f.ask(s.rig)
		s.followers = append(s.followers, f)
	case n < 90:
		if len(s.followers) > 0 {
			f := s.followers[s.random.IntN(len(s.followers))]
			if f.follow(s.rig); f.members == nil {
				f.ask(s.rig)
			}
		}
	case n < 92:
		s.asked[s.channel()] = s.random.IntN(2) == 0
	case n < 94:
		s.time = s.time.Add(time.Duration(s.random.IntN(90)) * time.Second)
		s.Sweep()
	case n < 96:
		channel, client := s.channel(), fmt.Sprint("client", s.random.IntN(12))
		s.EndGrace(channel, client)
		s.model.endGrace(channel, client, s.time)
	default:
		return s.compare(s.channel())
	}
	return nil
}

func (s *schedule) close(i int) {
	s.Leave(s.open[i][0], s.open[i][1])
	s.model.leave(s.open[i][0], s.open[i][1], s.time)
	s.open = slices.Delete(s.open, i, i+1)
}

func (s *schedule) tick() (more bool) {
	more = s.Tick(s.publish)
	s.model.tick(s.time)
	return more
}

func (s *schedule) compare(channel string) error {
	want := s.model.list(channel)
	if got := s.list(channel, 1+s.random.IntN(5)); !slices.Equal(got, want) {
		return fmt.Errorf("%s has %v, want %v", channel, got, want)
	}
	p := s.List(channel, "", 1)
	if p.Count != len(want) || p.Connections != s.model.connections(channel) {
		return fmt.Errorf("%s: %d members with %d connections, want %d with %d", channel, p.Count, p.Connections, len(want), s.model.connections(channel))
	}
	if got := s.Stats().Members; got != s.model.count() {
		return fmt.Errorf("%d members in all, want %d", got, s.model.count())
	}
	return nil
}

// settle has everything told that is due.
func (s *schedule) settle() error {
	s.full = false
	for range 100 {
		if !s.tick() {
			return nil
		}
		s.time = s.time.Add(time.Second)
	}
	return fmt.Errorf("after 100 seconds there is still something to do")
}

// run takes the steps; then every follower must have the list that there is, and
// when all have gone nothing is left.
func (s *schedule) run(steps int) error {
	for i := range steps {
		if err := s.step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	for _, f := range s.followers {
		s.Watch(f.channel) // it may have been away: then it receives an event without names
	}
	if err := s.settle(); err != nil {
		return err
	}
	for _, f := range s.followers {
		if f.follow(s.rig); f.members == nil {
			continue // it knows that it must ask
		}
		want := map[string]string{}
		for _, m := range s.model.list(f.channel) {
			want[m.Client] = m.Info
		}
		if !maps.Equal(f.members, want) {
			return fmt.Errorf("a follower of %s has %v, want %v", f.channel, f.members, want)
		}
	}
	for _, e := range s.events {
		if e.Count > s.model.config.Named && !e.Unnamed || len(e.Join)+len(e.Leave) > s.model.config.Named {
			return fmt.Errorf("more names than there may be: %+v", e)
		}
	}
	for len(s.open) > 0 {
		s.close(0)
	}
	clear(s.asked)
	if err := s.settle(); err != nil {
		return err
	}
	for range 3 {
		s.time = s.time.Add(time.Minute)
		s.Sweep()
		s.tick()
	}
	if st := s.Stats(); st.Members != 0 || st.Bytes != 0 {
		return fmt.Errorf("left over: %+v", st)
	}
	return nil
}

func TestTableIsTheModel(t *testing.T) {
	first, schedules := rand.Uint64(), 300
	if testing.Short() {
		schedules = 50
	}
	if *seedFlag != 0 {
		first, schedules = *seedFlag, 1
	}
	named, followed := 0, 0
	for i := range schedules {
		seed := first + uint64(i)
		random := rand.New(rand.NewPCG(seed, 1))
		config := presence.Config{
			Grace: time.Duration(1+random.IntN(1000)) * time.Millisecond, Named: 1 + random.IntN(10),
			Members: 5 + random.IntN(40), ChannelMembers: 2 + random.IntN(20),
		}
		s := &schedule{rig: newRig(config), random: random, model: model{config: config, channels: map[string]map[string]*modelMember{}}}
		if err := s.run(500); err != nil {
			t.Fatalf("%v\nreplay: go test ./server/presence -run TestTableIsTheModel -seed %d", err, seed)
		}
		for _, e := range s.events {
			if !e.Unnamed {
				named++
			}
		}
		for _, f := range s.followers {
			if f.members != nil {
				followed++
			}
		}
	}
	if *seedFlag == 0 && (named < schedules || followed < schedules/2) {
		t.Errorf("%d events with names and %d followers that kept a list in %d schedules: this tests little", named, followed, schedules)
	}
}
