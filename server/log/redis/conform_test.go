package redis_test

import (
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log"
	"peal/server/log/conform"
	"peal/server/log/redis"
)

func TestConformance(t *testing.T) {
	conform.Run(t, conform.Subject{Persistent: true, Distributed: true, New: func(t *testing.T) *conform.Place {
		server := redisd.For(t, durable)
		proxy := redisd.ProxyFor(t, server.Addr())
		return &conform.Place{
			Open: func(t *testing.T, small bool) log.Engine {
				c := config()
				if small {
					c.Entries = 2000
				}
				return open(t, server.URLVia(proxy.Addr()), c)
			},
			Succeed: func(_ *testing.T, h log.Handover) (log.Incoming, error) {
				return redis.Succeed(server.URLVia(proxy.Addr()), config(), time.Now, h)
			},
			Cut:     func(*testing.T) { proxy.Cut() },
			Gone:    func(*testing.T) { proxy.Refuse() },
			Back:    func(t *testing.T) { must(t, proxy.Go()) },
			Restart: func(t *testing.T) { must(t, server.Restart(t.Context())) },
		}
	}})
}
