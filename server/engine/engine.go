package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"peal/server/log"
	"peal/server/log/file"
	"peal/server/log/memory"
	"peal/server/log/redis"
)

// Default is the name of the engine that is used where none is given.
const Default = "memory"

// engine is a kind of log.
type engine struct {
	scheme string
	also   []string // further schemes, which messages leave out
	place  string   // what the place is, for messages; "" for an engine without one
	sample string   // a place, for messages
	local  bool     // a place is one of this machine, and no URL

	// check reports what is wrong with settings that the engine uses, for messages of
	// at most so many bytes.
	check func(s Settings, message int) error

	// queue returns how many bytes of entries may wait for the engine, and the name of
	// that setting; "" for an engine in which nothing waits.
	queue func(s Settings) (setting string, bytes int)

	open func(s Settings, name, place string, now func() time.Time) (log.Engine, error)

	// succeed is open for the process that goes on for another one; see log.Incoming.
	succeed func(s Settings, name, place string, now func() time.Time, h log.Handover) (log.Incoming, error)
}

var table = []engine{
	{
		scheme: "memory",
		check:  func(Settings, int) error { return nil },
		queue:  func(Settings) (string, int) { return "", 0 },
		open: func(_ Settings, _, _ string, now func() time.Time) (log.Engine, error) {
			return memory.Open(now), nil
		},
		succeed: func(_ Settings, _, _ string, now func() time.Time, h log.Handover) (log.Incoming, error) {
			return memory.Succeed(now, h)
		},
	},
	{
		scheme: "file", place: "directory", sample: "/var/lib/peal", local: true,
		check: func(_ Settings, message int) error {
			if message > file.MaxMessageBytes {
				return fmt.Errorf("config: message of %d B: a log in files takes %d B at most", message, file.MaxMessageBytes)
			}
			return nil
		},
		queue: func(s Settings) (string, int) { return "log-queue-bytes", s.File.QueueBytes },
		open: func(s Settings, _, dir string, now func() time.Time) (log.Engine, error) {
			l, err := file.Open(dir, s.File, now)
			if err != nil {
				return nil, err // and no *file.Log that is nil
			}
			return l, nil
		},
		succeed: func(s Settings, _, dir string, now func() time.Time, h log.Handover) (log.Incoming, error) {
			return file.Succeed(dir, s.File, now, h)
		},
	},
	{
		scheme: redis.Schemes[0], also: redis.Schemes[1:], place: "URL", sample: "//127.0.0.1:6379",
		check: func(_ Settings, message int) error {
			if message > maxRedisMessage {
				return fmt.Errorf("config: message of %d B: a log on Redis takes %d B at most", message, maxRedisMessage)
			}
			return nil
		},
		queue: func(s Settings) (string, int) { return "log-queue-bytes", s.Redis.QueueBytes },
		open: func(s Settings, url, _ string, now func() time.Time) (log.Engine, error) {
			l, err := redis.Open(url, s.Redis, now)
			if err != nil {
				return nil, err
			}
			return l, nil
		},
		succeed: func(s Settings, url, _ string, now func() time.Time, h log.Handover) (log.Incoming, error) {
			return redis.Succeed(url, s.Redis, now, h)
		},
	},
}

// maxRedisMessage is the longest message of a log on Redis: one call has it in one argument, and
// while it is appended no other node's call is.
const maxRedisMessage = 16 << 20

// Settings are those of the engines. The zero value is the documented default.
type Settings struct {
	File  file.Config  // of "file:DIR"
	Redis redis.Config // of "redis://…"
}

// WithDefaults returns s with its zero values filled in, and the engines' own log.
func (s Settings) WithDefaults(log *slog.Logger) Settings {
	s.File.Log = log
	s.File = s.File.WithDefaults()
	s.Redis.Log, s.Redis.QueueBytes = log, s.File.QueueBytes
	s.Redis = s.Redis.WithDefaults()
	return s
}

// find is the engine of that name, "" for Default, and its place.
func find(name string) (e engine, place string, err error) {
	if name == "" {
		name = Default
	}
	scheme, place, hasPlace := strings.Cut(name, ":")
	var forms []string
	for _, e := range table {
		form := e.scheme
		if e.place != "" {
			form = fmt.Sprintf("%s: and a %s, as in %s:%s", e.scheme, e.place, e.scheme, e.sample)
		}
		forms = append(forms, form)
		if e.scheme != scheme && !slices.Contains(e.also, scheme) || hasPlace != (e.place != "") {
			continue
		}
		if hasPlace && place == "" {
			err = fmt.Errorf("log %q: the %s is missing, as in %s:%s", name, e.place, e.scheme, e.sample)
		}
		if e.local && hasUser(place) {
			err = fmt.Errorf("log %q: it has a user or a password, as a URL of another machine, and must be %s: and a directory of this machine, as in %s:%s", scheme+"://…", e.scheme, e.scheme, e.sample)
		}
		return e, place, err
	}
	if strings.Contains(name, "@") { // perhaps a URL with a password, whose scheme is misspelled
		name = scheme + ":…"
	}
	return engine{}, "", fmt.Errorf("log %q: must be %s", name, strings.Join(forms, ", or "))
}

// hasUser reports whether a place may be that of a URL with a user, and perhaps a password, which
// may have any characters.
func hasUser(place string) bool {
	return strings.HasPrefix(place, "//") && !strings.HasPrefix(place, "///") && strings.Contains(place, "@")
}

// Validate reports all that is wrong with the name and the settings of the engines,
// in a server whose messages have at most so many bytes.
func Validate(name string, s Settings, message int) error {
	e, _, err := find(name)
	if err == nil {
		err = e.check(s, message)
	}
	return errors.Join(err, s.File.Validate(), s.Redis.Validate())
}

// Queue is how many bytes of entries may wait for the engine of that name, and the
// setting that says so; "" where nothing waits, or there is no such engine.
func Queue(name string, s Settings) (setting string, bytes int) {
	e, _, err := find(name)
	if err != nil {
		return "", 0
	}
	return e.queue(s)
}

// Open opens the engine of that name. It must be started, or closed. now is the
// clock, time.Now outside tests.
func Open(name string, s Settings, now func() time.Time) (log.Engine, error) {
	e, place, err := find(name)
	if err != nil {
		return nil, err
	}
	return e.open(s, name, place, now)
}

// Succeed opens the engine of that name in the process that goes on for another one, whose log h describes. It must be
// prepared and begun, or closed; see log.Incoming. After an error the engine is nothing.
func Succeed(name string, s Settings, now func() time.Time, h log.Handover) (log.Incoming, error) {
	e, place, err := find(name)
	if err != nil {
		return nil, err
	}
	l, err := e.succeed(s, name, place, now, h)
	if err != nil {
		return nil, err // and no engine that is a nil pointer
	}
	return l, nil
}

// Redacted is the name of an engine without secrets.
func Redacted(name string) string {
	e, _, err := find(name)
	switch {
	case err != nil && strings.Contains(name, "@"):
		return "…"
	case err != nil || e.scheme != redis.Schemes[0]:
		return name
	}
	return redis.Redacted(name)
}
