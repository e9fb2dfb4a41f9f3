package server

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/log/file"
	"peal/server/log/memory"
)

// Values of Config.Engine.
const (
	engineMemory = "memory"
	engineFile   = "file:" // and the directory
)

// validateLog reports all that is wrong with the log's settings.
func (c Config) validateLog() error {
	dir, isFile := strings.CutPrefix(c.Engine, engineFile)
	var fault error
	switch {
	case isFile && dir == "":
		fault = errors.New(`log "file:": the directory is missing, as in file:/var/lib/peal`)
	case !isFile && c.Engine != "" && c.Engine != engineMemory:
		fault = fmt.Errorf("log %q: must be memory, or file: and a directory, as in file:/var/lib/peal", c.Engine)
	case isFile && c.Loop.MessageBytes > file.MaxMessageBytes:
		fault = fmt.Errorf("config: message of %d B: a log in files takes %d B at most", c.Loop.MessageBytes, file.MaxMessageBytes)
	}
	return errors.Join(fault, c.File.Validate())
}

// openFile opens the log of Config.Engine if that is one in files, else nil.
func openFile(c Config) (*file.Log, error) {
	dir, ok := strings.CutPrefix(c.Engine, engineFile)
	if !ok {
		return nil, nil
	}
	return file.Open(dir, c.File, time.Now)
}

// startLog makes the log feed the hub. A stored one brings its entries along,
// for the hub and for the idempotency keys, which takes as long as it takes to
// read them.
func (s *Server) startLog(stored *file.Log, keys *idempotency.Table) error {
	if stored == nil {
		s.log = memory.New(s.hub, time.Now)
		return nil
	}
	s.log = stored
	began := time.Now()
	s.hub.Begin(stored.Oldest(), stored.Head())
	restore := func(batch []*log.Entry) {
		s.hub.Restore(batch)
		for _, e := range batch {
			keys.Restore(e)
		}
	}
	if err := stored.Start(s.hub, restore); err != nil {
		return err
	}
	s.config.Log.Info("the log is read", "engine", s.config.Engine, "epoch", stored.Lineage().Epoch(), "oldest", stored.Oldest(), "sequence", stored.Head(), "took", time.Since(began))
	return nil
}
