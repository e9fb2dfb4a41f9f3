package redisd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Promote makes a replica a primary, with what it has. Its primary knows nothing of it.
func (s *Server) Promote(ctx context.Context) error {
	if _, err := s.Do(ctx, "REPLICAOF", "NO", "ONE"); err != nil {
		return err
	}
	s.primary.Store(nil)
	return nil
}

// Follow makes the server a replica of primary: what it has itself is lost.
func (s *Server) Follow(ctx context.Context, primary *Server) error {
	if _, err := s.Do(ctx, "REPLICAOF", "127.0.0.1", fmt.Sprint(primary.Port())); err != nil {
		return err
	}
	s.primary.Store(primary)
	return nil
}

// Synced waits until the replica has everything that its primary had when Synced was called.
func (s *Server) Synced(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, acceptWait)
	defer cancel()
	primary := s.primary.Load()
	if primary == nil {
		return errors.New("it is not a replica")
	}
	want, err := primary.offset(ctx)
	if err != nil {
		return err
	}
	return until(ctx, "the replica has caught up", func() error {
		if link, err := s.Info(ctx, "master_link_status"); err != nil || link != "up" {
			return fmt.Errorf("its link is %q: %w", link, err)
		}
		have, err := s.offset(ctx)
		if err == nil && have < want {
			err = fmt.Errorf("it has %d bytes of %d", have, want)
		}
		return err
	})
}

func (s *Server) offset(ctx context.Context) (bytes int64, err error) {
	text, err := s.Info(ctx, "master_repl_offset")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(text, &bytes)
	return bytes, err
}

// TruncateAOF takes that many bytes from the end of the newest append-only file, as an
// incomplete write leaves it, or all of it if it has less. The server must not run.
func (s *Server) TruncateAOF(bytes int64) error {
	path, size, err := s.newestAOF()
	if err != nil {
		return err
	}
	return os.Truncate(path, max(0, size-bytes))
}

// newestAOF finds the file that grows: Redis 7 has appendonlydir/appendonly.aof.N.incr.aof,
// older ones have appendonly.aof.
func (s *Server) newestAOF() (path string, size int64, err error) {
	paths, _ := filepath.Glob(filepath.Join(s.options.Dir, "appendonlydir", "*.incr.aof")) // the pattern is good
	// appendonly.aof.10.incr.aof is newer than appendonly.aof.9.incr.aof.
	slices.SortFunc(paths, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	if len(paths) == 0 {
		paths = []string{filepath.Join(s.options.Dir, "appendonly.aof")}
	}
	path = paths[len(paths)-1]
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	return path, info.Size(), nil
}

// fatalError ends until at once.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

// until asks again and again, until there is no error or ctx has ended.
func until(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		if fatal := (fatalError{}); errors.As(err, &fatal) {
			return fmt.Errorf("wait until %s: %w", what, fatal.error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
