package server

import (
	"context"
	"runtime/debug"
	"time"

	"peal/server/memory"
)

const (
	memoryEvery = time.Second // how often the memory of the process is looked at
	shedAtOnce  = 64          // stalled connections that are ended then, on each loop
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
	ticker := time.NewTicker(memoryEvery)
	defer ticker.Stop()
	for failed := false; ; {
		n, err := resident()
		switch {
		case err == nil:
			s.memoryIs(watch.Step(n), n, limit)
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
	if level != memory.Normal {
		s.loops.ShedStalled(shedAtOnce)
	}
}

// MemoryLevel is how much of memory-limit the process has.
func (s *Server) MemoryLevel() memory.Level { return memory.Level(s.memory.Load()) }
