package redis

import (
	"context"
	"crypto/sha1"
	hexes "encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
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

// silent is err of the start, with what it may come from if there was no answer.
func silent(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		return fmt.Errorf("it does not answer: is it a Redis that works, and does it have TLS if and only if the URL is rediss://? (%w)", err)
	}
	return err
}

func shaOf(script string) string {
	sum := sha1.Sum([]byte(script)) // what Redis names it by
	return hexes.EncodeToString(sum[:])
}
