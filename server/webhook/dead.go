package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Letter is a batch that was given up.
type Letter struct {
	ID       string          `json:"id"`
	Webhook  string          `json:"webhook"`
	Events   int             `json:"events"`
	Newest   int64           `json:"newest_ms"` // time of its last event
	Died     int64           `json:"died_ms"`
	Attempts int             `json:"attempts"`
	Reason   string          `json:"reason"`
	Body     json.RawMessage `json:"body,omitempty"`
}

// Store keeps dead letters. One goroutine of a process at a time changes it. A letter that is there already is
// replaced.
type Store interface {
	Put(ctx context.Context, l Letter) (dropped int, err error)            // dropped: the oldest, for which there was no room
	List(ctx context.Context) ([]Letter, error)                            // the oldest first, without bodies
	Body(ctx context.Context, webhook, id string) (body []byte, err error) // nil: there is no such letter
	Delete(ctx context.Context, webhook, id string) (found bool, err error)
}

// The most that a Store keeps. Beyond it the oldest letter is dropped.
const (
	MostLetters     = 1000
	MostLetterBytes = 64 << 20
)

// Memory is a Store that ends with the process.
type Memory struct {
	mu  sync.Mutex
	all []Letter
}

// NewMemory returns an empty one.
func NewMemory() *Memory { return &Memory{} }

// Put implements Store.
func (m *Memory) Put(_ context.Context, l Letter) (dropped int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, l.is)
	m.all = append(m.all, l)
	for excess(m.all) {
		m.all = slices.Delete(m.all, 0, 1)
		dropped++
	}
	return dropped, nil
}

func excess(all []Letter) bool {
	bytes := 0
	for i := range all {
		bytes += len(all[i].Body)
	}
	return len(all) > MostLetters || bytes > MostLetterBytes && len(all) > 1
}

func (l Letter) is(other Letter) bool { return l.Webhook == other.Webhook && l.ID == other.ID }

// List implements Store.
func (m *Memory) List(context.Context) ([]Letter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.all)
	for i := range all {
		all[i].Body = nil
	}
	return all, nil
}

// Body implements Store.
func (m *Memory) Body(_ context.Context, webhook, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.all, Letter{Webhook: webhook, ID: id}.is); i >= 0 {
		return m.all[i].Body, nil
	}
	return nil, nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, webhook, id string) (found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.all)
	m.all = slices.DeleteFunc(m.all, Letter{Webhook: webhook, ID: id}.is)
	return len(m.all) < n, nil
}

// Dir is a Store in a directory, a file for each letter. Its path is made with the first.
type Dir string

const letterSuffix = ".json"

func (d Dir) path(webhook, id string) string {
	name := sha256.Sum256([]byte(webhook + "\x00" + id))
	return filepath.Join(string(d), hex.EncodeToString(name[:16])+letterSuffix)
}

// Put implements Store. The file is durable when it returns.
func (d Dir) Put(_ context.Context, l Letter) (dropped int, err error) {
	b, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return 0, err
	}
	path := d.path(l.Webhook, l.ID)
	f, err := os.CreateTemp(string(d), "new-*")
	if err != nil {
		return 0, err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return 0, err
	}
	all, err := d.read()
	for err == nil && excess(all) {
		_ = os.Remove(d.path(all[0].Webhook, all[0].ID))
		all = all[1:]
		dropped++
	}
	return dropped, errors.Join(err, syncDir(string(d)))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// List implements Store.
func (d Dir) List(context.Context) ([]Letter, error) {
	all, err := d.read()
	for i := range all {
		all[i].Body = nil
	}
	return all, err
}

// Body implements Store.
func (d Dir) Body(_ context.Context, webhook, id string) ([]byte, error) {
	var l Letter
	b, err := os.ReadFile(d.path(webhook, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	return l.Body, err
}

// read returns all letters, the oldest first. A file that cannot be read as a letter is an error.
func (d Dir) read() (all []Letter, err error) {
	files, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), letterSuffix) {
			continue
		}
		var l Letter
		b, readErr := os.ReadFile(filepath.Join(string(d), f.Name()))
		if readErr == nil {
			readErr = json.Unmarshal(b, &l)
		}
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", filepath.Join(string(d), f.Name()), readErr))
			continue
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Letter) int { return cmp.Or(cmp.Compare(a.Died, b.Died), cmp.Compare(a.ID, b.ID)) })
	return all, err
}

// Delete implements Store.
func (d Dir) Delete(_ context.Context, webhook, id string) (found bool, err error) {
	err = os.Remove(d.path(webhook, id))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, syncDir(string(d))
}

// bury keeps a batch as a dead letter. false: it could not, and the batch goes on living.
func (h *Hooks) bury(ctx context.Context, p *endpoint, b *batch, id string, body []byte, reason string, now time.Time) bool {
	l := Letter{ID: id, Webhook: p.Name, Events: len(b.events), Newest: b.newest, Died: now.UnixMilli(), Attempts: b.attempts, Reason: reason, Body: body}
	h.burying.Lock()
	dropped, err := h.config.Dead.Put(ctx, l)
	h.burying.Unlock()
	if err != nil {
		h.config.Report.Error("a dead webhook cannot be kept: trying to deliver it again", "webhook", p.Name, "id", id, "error", err)
		return false
	}
	p.counts.dead.Add(uint64(len(b.events)))
	h.dropped.Add(uint64(dropped))
	h.config.Report.Warn("a webhook was given up after retry-for: peal webhooks shows it, and can send it again", "webhook", p.Name, "id", id, "events", l.Events, "attempts", l.Attempts, "reason", reason, "oldest_dropped", dropped)
	return true
}
