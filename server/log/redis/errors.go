package redis

import (
	"crypto/sha1"
	hexes "encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"peal/server/log/distributed"
)

// kind makes of an answer of Redis the error that distributed knows; others mean that it
// cannot be reached.
func kind(err error) error {
	var e *rueidis.RedisError
	if err == nil || !errors.As(err, &e) {
		return err
	}
	text := e.Error()
	for _, moved := range []string{
		"NOSCRIPT",                  // restarted, or another server
		"equal or smaller than the", // something else has written to the stream
		"STALE", "WRONGTYPE",
	} {
		if strings.Contains(text, moved) {
			return fmt.Errorf("%w: %s", distributed.ErrMoved, text)
		}
	}
	for _, refused := range []string{"OOM", "NOPERM", "MISCONF", "NOREPLICAS"} {
		if strings.Contains(text, refused) {
			return fmt.Errorf("%w: %s", distributed.ErrRefused, text)
		}
	}
	if version, ok := strings.CutPrefix(text, "FORMAT "); ok {
		n := 0
		_, _ = fmt.Sscan(version, &n) // 0 says it as well
		return &distributed.FormatError{Version: n}
	}
	return err
}

func shaOf(script string) string {
	sum := sha1.Sum([]byte(script)) // what Redis names it by
	return hexes.EncodeToString(sum[:])
}
