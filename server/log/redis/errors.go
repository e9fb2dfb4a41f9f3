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

// typed is a key and its type.
type typed struct{ key, kind string }

// wrongType is nil unless err says that one of the keys, which scripts do not name, has another
// type. Then it says which, and what to do.
func wrongType(ctx context.Context, client rueidis.Client, err error, keys ...typed) error {
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		return nil
	}
	commands := make(rueidis.Commands, len(keys))
	var all []string
	for i, k := range keys {
		commands[i] = client.B().Type().Key(k.key).Build()
		all = append(all, k.key+" (a "+k.kind+")")
	}
	const advice = "something else uses its name: rename or delete that key, or give this log another name (?name=… of its URL)"
	for i, answer := range client.DoMulti(ctx, commands...) {
		if is, err := answer.ToString(); err == nil && is != keys[i].kind && is != "none" {
			return fmt.Errorf("the key %s of Redis is a %s and not a %s; %s", keys[i].key, is, keys[i].kind, advice)
		}
	}
	return fmt.Errorf("one of the keys %s of Redis has another type; %s", strings.Join(all, ", "), advice)
}

// explained is err of the start, with what it may come from if there was no answer, or if a
// password was refused.
func explained(err error) error {
	if e, ok := errors.AsType[*rueidis.RedisError](err); ok && (strings.HasPrefix(e.Error(), "NOAUTH") || strings.HasPrefix(e.Error(), "WRONGPASS")) {
		return fmt.Errorf("it refuses the user or the password, or needs one: those of the master are in the URL or in log-password-file, those of Sentinels in %s and %s (%w)", paramUser, paramFile, err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		return fmt.Errorf("it does not answer: is it a Redis that works, and does it have TLS if and only if the URL is rediss://? (%w)", err)
	}
	return err
}

func shaOf(script string) string {
	sum := sha1.Sum([]byte(script)) // what Redis names it by
	return hexes.EncodeToString(sum[:])
}
