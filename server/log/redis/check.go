package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// check refuses a server that would lose entries on its own account, and warns of one
// that loses them with its process.
func (s *store) check(ctx context.Context) error {
	answer, err := s.client.Do(ctx, s.client.B().Info().Section("everything").Build()).ToString()
	if err != nil {
		return fmt.Errorf("it does not answer INFO: %w", err)
	}
	info := map[string]string{}
	for line := range strings.Lines(answer) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	if v := info["redis_version"]; olderThan(v, 6, 2) {
		return fmt.Errorf("it is Redis %s: at least 6.2 is needed, or Valkey", v)
	}
	s.setScript(olderThan(info["redis_version"], 7, 0))
	if info["role"] == "slave" {
		return errors.New("it is a replica, which cannot be written: name the master, or use redis-sentinel://")
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		return fmt.Errorf("its maxmemory-policy is %s, which removes the log when memory is short: set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf)", policy)
	}
	if info["aof_enabled"] == "0" {
		s.report.Warn("the Redis of the log has no append-only file: when it ends, all messages are lost that were published since its last snapshot, and clients get gaps; set appendonly yes")
	}
	return nil
}

// setScript chooses the script that appends.
func (s *store) setScript(guarded bool) {
	if s.script = appendText; guarded {
		s.script = guardText + appendText
	}
	s.sha = shaOf(s.script)
}

func olderThan(version string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a < major || a == major && b < minor
}
