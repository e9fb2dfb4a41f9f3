package server

import (
	"context"
	"runtime/debug"
	"time"

	"peal/server/memory"
)

const (
	memoryEvery = 250 * time.Millisecond // how often the memory of the process is looked at
	shedEvery   = 4                      // in so many looks stalled connections are ended
	shedAtOnce  = 64                     // so many, on each loop

	// While the level is not normal, memory without a use is given back: at such intervals, and
	// for so small a part of the time. Nobody else does it for minutes, because what refuses its
	// clients allocates little.
	releaseEvery = 5 * time.Second
	releasePart  = 20
)

// defaultMemoryLimit is what Config.MemoryLimit is by default.
func defaultMemoryLimit() int {
	if limit, ok := memory.CgroupLimit(); ok {
		return max(1, limit/10*9)
	}
	return -1
}

// watchMemory refuses work while the process has too much memory. It ends with ctx.
func (s *Server) watchMemory(ctx context.Context, resident func() (int, error)) {
	limit := s.config.MemoryLimit
	if limit < 0 {
		return
	}
	watch := memory.NewWatch(limit)
	if before := debug.SetMemoryLimit(-1); before > int64(watch.Target()) { // a lower GOMEMLIMIT stays
		debug.SetMemoryLimit(int64(watch.Target()))
		defer debug.SetMemoryLimit(before)
	}
	s.config.Log.Info("watching the memory of the process", "limit", limit)
	if history := s.config.Hub.TotalBytes; history > limit/2 {
		s.config.Log.Warn("history-total-bytes is more than half of memory-limit: when the history is full, publications may be refused; lower history-total-bytes or raise memory-limit", "history-total-bytes", history, "memory-limit", limit)
	}
	ticker := time.NewTicker(memoryEvery)
	defer ticker.Stop()
	failed := false
	var release time.Time // the next
	for look := 0; ; look++ {
		n, err := resident()
		switch {
		case err == nil:
			s.memoryIs(watch.Step(n), n, limit)
			if s.MemoryLevel() != memory.Normal && look%shedEvery == 0 {
				s.loops.ShedStalled(shedAtOnce)
			}
			if began := time.Now(); s.MemoryLevel() != memory.Normal && !began.Before(release) {
				debug.FreeOSMemory() // collects garbage before
				release = time.Now().Add(max(releaseEvery, releasePart*time.Since(began)))
			}
		case !failed:
			failed = true
			s.config.Log.Warn("memory-limit has no effect: the memory of the process cannot be read", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// memoryIs does what a level asks for.
func (s *Server) memoryIs(level memory.Level, resident, limit int) {
	if before := memory.Level(s.memory.Swap(int32(level))); level != before {
		s.loops.Press(level != memory.Normal)
		s.noMemory.Store(level == memory.Over)
		attributes := []any{"resident", resident, "limit", limit}
		switch {
		case level == memory.Normal:
			s.loops.EndShedding()
			s.config.Log.Info("memory is below the mark of memory-limit: new connections are accepted", attributes...)
		case level == memory.Over:
			s.config.Log.Error("memory exceeds memory-limit: new connections and publications are refused, and stalled connections closed; raise memory-limit, or lower max-connections or history-total-bytes", attributes...)
		default:
			s.config.Log.Warn("memory is beyond nine tenths of memory-limit: new connections are refused, and stalled connections closed; raise memory-limit, or lower max-connections or history-total-bytes", attributes...)
		}
	}
}

// MemoryLevel is how much of memory-limit the process has.
func (s *Server) MemoryLevel() memory.Level { return memory.Level(s.memory.Load()) }
