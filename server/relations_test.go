package server_test

import (
	"strings"
	"testing"

	"peal/server"
)

func TestDefaultsFitTogether(t *testing.T) {
	if err := (server.Config{}).Validate(); err != nil {
		t.Error(err)
	}
	c := server.Config{Engine: "file:x"}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// A limit that another one makes useless is a fault at the start, with the number
// to set; all are reported at once, and with those numbers there is none.
func TestLimitsThatDoNotFitAreFaults(t *testing.T) {
	check := func(name string, set func(c *server.Config), want ...string) {
		t.Helper()
		var c server.Config
		set(&c)
		err := c.Validate()
		if err == nil {
			t.Errorf("%s: no fault", name)
			return
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(want) {
			t.Errorf("%s: %d faults, want %d: %v", name, len(lines), len(want), err)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v\nlacks %q", name, err, w)
			}
		}
	}
	check("message-bytes and held-bytes", func(c *server.Config) { c.Loop.MessageBytes = 32 << 20; c.Loop.InputBytes = 1 << 30 },
		"set held-bytes to 89482584 or more")
	check("message-bytes and input-bytes", func(c *server.Config) {
		c.Loop.MessageBytes = 1 << 20
		c.Loop.InputBytes = 1 << 20
		c.HTTP.BatchLimit = 64 << 10
	},
		"set input-bytes to 2244608 or more")
	check("batch-bytes and input-bytes", func(c *server.Config) { c.HTTP.BatchLimit = 1 << 20; c.Loop.InputBytes = 1 << 20 },
		"set input-bytes to 2244608 or more")
	check("parked-bytes and input-bytes", func(c *server.Config) { c.Loop.ParkedBytes = 64 << 20 }, "set input-bytes to 134348800 or more")
	check("answer-bytes and held-bytes", func(c *server.Config) { c.Loop.Fanout.AnswerBytes = 40 << 20 }, "set held-bytes to 83886080 or more")
	check("held-bytes below a page", func(c *server.Config) {
		c.Loop.Fanout.HeldBytes = 1 << 20
		c.Loop.Fanout.AnswerBytes = 64 << 10
		c.Presence.Named = 10
	},
		"set held-bytes to 2097152 or more")
	check("presence-named and held-bytes", func(c *server.Config) { c.Presence.Named = 10_000 }, "set held-bytes to 148160000 or more")
	check("max-channels and lane-bytes", func(c *server.Config) { c.HTTP.ChannelLimit = 128; c.Loop.Fanout.LaneBytes = 16 << 10 }, "set lane-bytes to 65536 or more")
	check("lane-bytes and held-bytes", func(c *server.Config) { c.Loop.Fanout.LaneBytes = 40 << 20 }, "set held-bytes to 83886080 or more")
	check("ring-bytes", func(c *server.Config) { c.RingBytes = 64 << 10 }, "set ring-bytes to ")
	check("log-queue-bytes", func(c *server.Config) { c.Engine, c.File.QueueBytes = "file:x", 64<<10 }, "set log-queue-bytes to ")
	check("many at once", func(c *server.Config) {
		c.Loop.MessageBytes, c.Loop.InputBytes, c.RingBytes, c.HTTP.BatchLimit = 40<<20, 1<<20, 1<<20, 64<<10
	}, "set input-bytes to ", "set held-bytes to ", "set ring-bytes to ")

	var c server.Config
	c.Loop.MessageBytes, c.Loop.InputBytes, c.Loop.Fanout.HeldBytes = 32<<20, 64<<20+147456, 89482584
	if err := c.Validate(); err != nil {
		t.Errorf("with the numbers that were asked for: %v", err)
	}
}
