package server

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"peal/loop"
	"peal/server/inspect"
)

// tops is the newest Top, for all who ask.
type tops struct {
	mu  sync.Mutex
	at  time.Time
	top inspect.Top
}

// How long a Top is shown, and how many of each kind it has.
const (
	topFor  = 2 * time.Second
	mostTop = 50
)

// Top returns the n largest of each kind, at most 50. It visits all channels, on the goroutine of the caller, at
// most once in 2 seconds for all callers together; what is counted is counted from the call
// before on.
func (s *Server) Top(ctx context.Context, n int) (inspect.Top, error) {
	s.tops.mu.Lock()
	defer s.tops.mu.Unlock()
	if now := time.Now(); s.tops.at.IsZero() || now.Sub(s.tops.at) >= topFor {
		top, err := s.newTop(ctx)
		if err != nil {
			return inspect.Top{}, err
		}
		s.tops.at, s.tops.top = now, top
	}
	top := s.tops.top
	top.Subscribed = top.Subscribed[:min(n, len(top.Subscribed))]
	top.Busiest = top.Busiest[:min(n, len(top.Busiest))]
	top.Talkers = top.Talkers[:min(n, len(top.Talkers))]
	top.Users = top.Users[:min(n, len(top.Users))]
	return top, nil
}

func (s *Server) newTop(ctx context.Context) (inspect.Top, error) {
	top := inspect.Top{Subscribed: []inspect.ChannelSize{}, Busiest: []inspect.ChannelRate{}, Talkers: []inspect.Talker{}, Users: []inspect.UserSum{}}
	for _, c := range s.hub.Largest(mostTop) {
		top.Subscribed = append(top.Subscribed, inspect.ChannelSize{Channel: c.Name, Subscribers: c.Subscribers, Messages: c.Messages, Bytes: c.Bytes})
	}
	busy, since := s.hub.Busiest(mostTop)
	for _, c := range busy {
		top.Busiest = append(top.Busiest, inspect.ChannelRate{Channel: c.Name, Publications: c.Publications, Bytes: c.Bytes})
	}
	if !since.IsZero() {
		top.Seconds = time.Since(since).Seconds()
	}
	talkers, _, err := s.loops.Talkers(ctx, math.MaxInt)
	if err != nil {
		return top, walkError(err)
	}
	top.Users = usersOf(talkers)
	for _, t := range talkers[:min(mostTop, len(talkers))] {
		top.Talkers = append(top.Talkers, inspect.Talker{Session: s.sessions.Of(t.Session).String(), Address: addressText(t.Peer), Client: t.Name, Messages: t.Messages, Bytes: t.Bytes})
	}
	return top, nil
}

// usersOf sums up by client, the one with most first.
func usersOf(talkers []loop.Talker) []inspect.UserSum {
	users, at := []inspect.UserSum{}, map[string]int{}
	for i := range talkers {
		t := &talkers[i]
		if t.Name == "" {
			continue
		}
		k, ok := at[t.Name]
		if !ok {
			k = len(users)
			at[t.Name] = k
			users = append(users, inspect.UserSum{Client: t.Name})
		}
		users[k].Connections++
		users[k].Messages += t.Messages
		users[k].Bytes += t.Bytes
	}
	slices.SortStableFunc(users, func(a, b inspect.UserSum) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Messages, a.Messages))
	})
	return users[:min(mostTop, len(users))]
}
