package server

import (
	"time"

	"peal/server/ask"
)

// openAsking prepares the questions to the backend. Without a definition there are none, until
// a reload brings one.
func (s *Server) openAsking(c Config) error {
	s.asking = ask.New(c.Log, time.Now)
	use, err := s.asking.Prepare(c.Ask)
	if err != nil {
		return err
	}
	use()
	s.closers.add("end the questions to the backend", func() error { s.asking.Close(); return nil })
	return nil
}

// AskStats are the questions to the backend, for metrics.
func (s *Server) AskStats() ask.Stats { return s.asking.Stats() }
