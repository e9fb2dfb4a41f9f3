package redis_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log/conform"
)

// What happens to the server or to the network, and loses nothing: all nodes have all entries
// once, nobody has a gap.
func TestFaultsThatLoseNothing(t *testing.T) {
	pause := 5 * time.Second
	if os.Getenv("PEAL_LONG") != "" { // a minute more than most timeouts
		pause = time.Minute
	}
	for name, fault := range map[string]func(t *testing.T, s *site, f *conform.Traffic){
		"kill -9": func(t *testing.T, s *site, f *conform.Traffic) {
			must(t, s.server.Kill())
			refused := f.Unavailable()
			conform.Until(t, "publishers are refused", func() bool { return f.Unavailable() > refused })
			must(t, s.server.Start(t.Context()))
		},
		"restarted at once": func(t *testing.T, s *site, f *conform.Traffic) {
			must(t, s.server.Restart(t.Context()))
		},
		"shut down and started": func(t *testing.T, s *site, f *conform.Traffic) {
			must(t, s.server.Shutdown())
			must(t, s.server.Start(t.Context()))
		},
		"DEBUG RESTART": func(t *testing.T, s *site, f *conform.Traffic) {
			_, _ = s.server.Do(t.Context(), "DEBUG", "RESTART") // it answers by ending
			must(t, s.server.Ready(t.Context()))
		},
		"paused": func(t *testing.T, s *site, f *conform.Traffic) {
			must(t, s.server.Pause())
			time.Sleep(pause) // longer than batches wait, and than answers may take
			must(t, s.server.Continue())
		},
		"cut": func(t *testing.T, s *site, f *conform.Traffic) {
			for range 5 {
				s.each((*redisd.Proxy).Cut)
				f.More(t, 20)
			}
		},
		"answers stall, then cut": func(t *testing.T, s *site, f *conform.Traffic) {
			for range 3 {
				s.each(func(p *redisd.Proxy) { p.Stall(redisd.ToClient) })
				time.Sleep(100 * time.Millisecond) // requests go on meanwhile
				s.each((*redisd.Proxy).Cut)
				s.goOn(t)
				f.More(t, 20)
			}
		},
		"answers stall": func(t *testing.T, s *site, f *conform.Traffic) {
			s.each(func(p *redisd.Proxy) { p.Stall(redisd.ToClient) })
			refused := f.Unavailable()
			conform.Until(t, "publishers are refused", func() bool { return f.Unavailable() > refused })
			s.goOn(t)
		},
		"requests stall": func(t *testing.T, s *site, f *conform.Traffic) {
			s.each(func(p *redisd.Proxy) { p.Stall(redisd.ToServer) })
			refused := f.Unavailable()
			conform.Until(t, "publishers are refused", func() bool { return f.Unavailable() > refused })
			s.goOn(t)
		},
		"one node cut off": func(t *testing.T, s *site, f *conform.Traffic) {
			s.proxies[0].Refuse()
			conform.Until(t, "the node knows it", func() bool { return s.nodes[0].Failing() != nil })
			if s.nodes[1].Failing() != nil {
				t.Error("the other node fails, too")
			}
			f.More(t, 200)
			must(t, s.proxies[0].Go())
		},
		"slow": func(t *testing.T, s *site, f *conform.Traffic) {
			s.each(func(p *redisd.Proxy) { p.Delay(50 * time.Millisecond) })
			f.More(t, 20)
			s.goOn(t)
		},
		"SCRIPT FLUSH": func(t *testing.T, s *site, f *conform.Traffic) {
			do(t, s.server, "SCRIPT", "FLUSH")
		},
		"CLIENT KILL": func(t *testing.T, s *site, f *conform.Traffic) {
			for range 5 {
				do(t, s.server, "CLIENT", "KILL", "TYPE", "normal")
				f.More(t, 20)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, redisd.For(t, durable), 2)
			f := conform.StartTraffic(t, s.nodes...)
			f.More(t, 100)
			fault(t, s, f)
			s.well(t)
			f.More(t, 100)
			f.Judge(t)
		})
	}
}

// What loses entries: all nodes are in service again, and each reader has what was
// acknowledged, or a gap.
func TestFaultsThatLoseEntriesAreTold(t *testing.T) {
	for name, fault := range map[string]struct {
		options redisd.Options
		run     func(t *testing.T, s *site, f *conform.Traffic)
	}{
		"a server without persistence is killed": {redisd.Options{}, func(t *testing.T, s *site, f *conform.Traffic) {
			must(t, s.server.Restart(t.Context()))
		}},
		"a server with an old snapshot is killed": {redisd.Options{}, func(t *testing.T, s *site, f *conform.Traffic) {
			do(t, s.server, "SAVE")
			f.More(t, 100)
			must(t, s.server.Restart(t.Context()))
		}},
		"the append-only file is truncated": {durable, func(t *testing.T, s *site, f *conform.Traffic) {
			must(t, s.server.Kill())
			must(t, s.server.TruncateAOF(20_000))
			must(t, s.server.Start(t.Context()))
		}},
		"FLUSHALL": {durable, func(t *testing.T, s *site, f *conform.Traffic) {
			do(t, s.server, "FLUSHALL")
		}},
		"FLUSHALL twice": {durable, func(t *testing.T, s *site, f *conform.Traffic) {
			do(t, s.server, "FLUSHALL")
			f.More(t, 50)
			do(t, s.server, "FLUSHALL")
		}},
		"FLUSHALL while one node is cut off": {durable, func(t *testing.T, s *site, f *conform.Traffic) {
			s.proxies[0].Refuse()
			conform.Until(t, "the node knows it", func() bool { return s.nodes[0].Failing() != nil })
			f.More(t, 100)
			do(t, s.server, "FLUSHALL")
			f.More(t, 100)
			must(t, s.proxies[0].Go())
		}},
		"a replica that lacks entries is promoted": {durable, func(t *testing.T, s *site, f *conform.Traffic) {
			replica := redisd.ReplicaFor(t, s.server, durable)
			must(t, replica.Promote(t.Context())) // from now on it gets nothing
			f.More(t, 200)
			s.each((*redisd.Proxy).Refuse)
			must(t, s.server.Kill())
			s.each(func(p *redisd.Proxy) { p.Target(replica.Addr()) })
			s.goOn(t)
		}},
		"a replica that lacks entries is promoted, and the old server follows it": {durable, func(t *testing.T, s *site, f *conform.Traffic) {
			replica := redisd.ReplicaFor(t, s.server, durable)
			must(t, replica.Promote(t.Context()))
			f.More(t, 200)
			s.each((*redisd.Proxy).Refuse)
			must(t, s.server.Kill())
			must(t, s.server.Start(t.Context()))
			must(t, s.server.Follow(t.Context(), replica))
			must(t, s.server.Synced(t.Context()))
			must(t, s.server.Promote(t.Context()))
			s.goOn(t)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, redisd.For(t, fault.options), 2)
			f := conform.StartTraffic(t, s.nodes...)
			f.More(t, 200)
			lineage := s.nodes[0].Lineage()
			before := lineage.Cursor(s.nodes[0].Head())
			fault.run(t, s, f)
			for _, n := range s.nodes {
				conform.Until(t, "the tail knows of a loss", func() bool { return len(n.Tail.Losses()) > 0 })
			}
			s.well(t)
			f.More(t, 100)
			late := conform.Start(t, open(t, s.server.URLVia(s.proxies[0].Addr()), config()))
			f.JudgeLoss(t, late)
			if now := lineage.Epoch(); now == before.Epoch {
				t.Errorf("the epoch is still %v", now)
			}
			for i, n := range append(s.nodes, late) {
				if strings.Contains(name, "FLUSHALL") || strings.Contains(name, "without") {
					if _, ok := n.Resolve(before); ok {
						t.Errorf("node %d: a position that nothing is known of resolves", i)
					}
				}
			}
		})
	}
}

// Entries that are removed are as if they were retained no more: the nodes have them, and one
// that comes later has them not.
func TestTheStreamIsDeleted(t *testing.T) {
	t.Parallel()
	s := newSite(t, redisd.For(t, durable), 2)
	f := conform.StartTraffic(t, s.nodes...)
	f.More(t, 200)
	do(t, s.server, "DEL", "{peal}:log")
	f.More(t, 200)
	f.JudgeLoss(t, conform.Start(t, open(t, s.server.URL(), config())))
}

func TestSentinelFailsOver(t *testing.T) {
	for name, lossy := range map[string]bool{"with everything": false, "with entries lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := redisd.For(t, durable)
			replica := redisd.ReplicaFor(t, primary, durable)
			sentinel := redisd.SentinelFor(t, redisd.SentinelOptions{Primary: primary, Name: "chat"})
			must(t, sentinel.Knows(t.Context(), 1))
			url := "redis-sentinel://" + sentinel.Addr() + "/chat"
			c := config()
			if !lossy {
				c.Replicas = 1
			}
			nodes := []*conform.Node{conform.Start(t, open(t, url, c)), conform.Start(t, open(t, url, c))}
			f := conform.StartTraffic(t, nodes...)
			f.More(t, 200)
			if lossy {
				do(t, replica, "REPLICAOF", "127.0.0.1", "1") // it gets nothing any more
				f.More(t, 200)
			}
			must(t, primary.Kill())
			must(t, sentinel.Takes(t.Context(), replica))
			if !lossy { // calls are answered with a replica only
				must(t, primary.Start(t.Context()))
				must(t, primary.Follow(t.Context(), replica))
			}
			f.More(t, 200)
			if lossy {
				for _, n := range nodes {
					conform.Until(t, "the tail knows of a loss", func() bool { return len(n.Tail.Losses()) > 0 })
				}
				f.JudgeLoss(t, conform.Start(t, open(t, url, c)))
				return
			}
			// What waits for a replica was acknowledged with it; the end of what was under way
			// may have been seen, and lost.
			f.JudgeLoss(t)
		})
	}
}
