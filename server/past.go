package server

import (
	"os"
	"sync"
	"time"

	"peal/server/upgrade"
)

// past is what a process hands over of itself and of those before it.
type past struct {
	Began             int64 // the first one; Unix time in milliseconds
	Completed, Failed uint64
	Process           int
	Version           string
}

// upgrades counts those of a server.
type upgrades struct {
	mu sync.Mutex
	upgrade.Stats
	frozen int64 // of the last one: since when clients wait, monotonic
}

func (u *upgrades) fail() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Failed++
}

// UpgradeStats tells about upgrades since the start of the first process.
func (s *Server) UpgradeStats() upgrade.Stats {
	s.upgrades.mu.Lock()
	defer s.upgrades.mu.Unlock()
	return s.upgrades.Stats
}

// handPast is what the next process has to know.
func (s *Server) handPast() past {
	st := s.UpgradeStats()
	return past{st.Began.UnixMilli(), st.Completed, st.Failed, os.Getpid(), s.config.Version}
}

// takePast has this process be the one after p.
func (u *upgrades) takePast(p past) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Stats = upgrade.Stats{Began: time.UnixMilli(p.Began), Completed: p.Completed + 1, Failed: p.Failed,
		Last: &upgrade.Last{ProcessBefore: p.Process, VersionBefore: p.Version}}
}

// offered notes what stays with the process before, and since when clients wait.
func (u *upgrades) offered(stayed int, frozen int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Last.Stayed, u.frozen = stayed, frozen
}

// adopted notes how many connections of a batch are this process's.
func (u *upgrades) adopted(taken, left int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Last.Connections += taken
	u.Last.Stayed += left
}

// begun notes that clients wait no more.
func (u *upgrades) begun() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Last.At, u.Last.Pause = time.Now(), time.Duration(monotonic()-u.frozen)
}
