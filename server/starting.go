package server

import (
	"sync/atomic"

	"peal/server/admin"
	"peal/server/log"
)

// starting is how far New is.
type starting struct {
	doing       atomic.Pointer[string]
	read, known atomic.Uint64 // entries of the log
}

func (s *starting) does(what string) { s.doing.Store(&what) }

// StartProgress implements admin.Source. Any goroutine may call it, also while New is under way.
func (s *Server) StartProgress() admin.Start {
	st := admin.Start{Doing: "preparing", Known: s.starting.known.Load()}
	st.Read = s.starting.read.Load() // behind known, so that there is no progress without a total
	if doing := s.starting.doing.Load(); doing != nil {
		st.Doing = *doing
	}
	return st
}

// retained is about how many entries Start of l restores.
func retained(l log.Engine) uint64 {
	if counted, ok := l.(log.Counted); ok {
		if n := counted.Retained(); n > 0 {
			return n
		}
	}
	if _, shared := l.(log.Distributed); shared { // between its epochs are large holes
		return 0
	}
	return l.Head() + 1 - l.Oldest()
}
