package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestNothingAcknowledgedIsLostByAKill: kill -9 takes no page cache with it, so
// under every policy all that was answered is there after the restart, in the
// same order, and cursors of before resume on each transport.
func TestNothingAcknowledgedIsLostByAKill(t *testing.T) {
	for _, policy := range []string{"always", "interval", "never"} {
		t.Run(policy, func(t *testing.T) {
			flags := []string{"--listen", "127.0.0.1:0", "--log", "file:" + filepath.Join(t.TempDir(), "log"), "--fsync", policy,
				"--log-segment-bytes", "64KiB", "--history-messages", "100000", "--history-bytes", "100MiB"}
			p := launch(t, flags...)
			start := p.publish("a", "first")
			stream := p.events("channel=a").opened()

			const publishers = 4
			var acked [publishers][]string // each its own, in order
			var count atomic.Int64
			enough := make(chan struct{})
			var wg sync.WaitGroup
			for n := range publishers {
				wg.Go(func() {
					for i := 0; ; i++ {
						text := fmt.Sprintf("%d-%06d ", n, i) + strings.Repeat(".", 200)
						a, err := p.try("POST", "/publish?channel=a", text, "Content-Type: text/plain")
						if err != nil {
							return // killed
						}
						if a.status != 200 {
							t.Errorf("publish: %d %s", a.status, a.body)
							return
						}
						acked[n] = append(acked[n], text)
						if count.Add(1) == 800 {
							close(enough)
						}
					}
				})
			}
			var seen []string
			for range 100 {
				seen = append(seen, stream.next().data)
			}
			cursor := stream.lastID
			<-enough
			p.signal(syscall.SIGKILL)
			p.exitCode()
			wg.Wait()
			p.client.CloseIdleConnections()

			p = launch(t, flags...)
			var all []string
			for at := start; ; {
				a := p.poll("channel=a&timeout=1&cursor=" + at)
				if len(a.Gap) > 0 {
					t.Fatalf("a gap after %s: %+v", at, a.Gap)
				}
				if len(a.Messages) == 0 {
					break
				}
				all = append(all, a.texts()...)
				at = a.Cursor
			}
			for n := range publishers {
				var of []string
				for _, text := range all {
					if strings.HasPrefix(text, fmt.Sprintf("%d-", n)) {
						of = append(of, text)
					}
				}
				// One more may have been stored without its answer.
				if len(of) > len(acked[n])+1 || len(of) < len(acked[n]) || !slices.Equal(of[:len(acked[n])], acked[n]) {
					t.Errorf("publisher %d: %d acknowledged, %d there", n, len(acked[n]), len(of))
				}
			}
			if !slices.Equal(all[:len(seen)], seen) {
				t.Error("what a stream saw is not what is there")
			}
			// The stream goes on where it was.
			again := p.events("channel=a", "Last-Event-ID: "+cursor)
			if e := again.next(); e.name != "" && e.name != "message" || e.data != all[len(seen)] {
				t.Errorf("the stream goes on with %+v, want %q", e, all[len(seen)])
			}
			if got := p.publish("a", "after"); !strings.HasSuffix(got, fmt.Sprintf("-%d", len(all)+2)) {
				t.Errorf("the next cursor is %s, want sequence %d", got, len(all)+2)
			}
			t.Logf("%d acknowledged, %d there", count.Load(), len(all))
		})
	}
}

// ended stops the server well.
func (p *peal) ended() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(); code != 0 {
		p.t.Fatalf("exit code %d: %s", code, p.stderr)
	}
	p.client.CloseIdleConnections()
}

// Cursors of messages, and of positions handed out in a life in which nothing was
// published, are good after a good stop.
func TestAGoodStopKeepsCursors(t *testing.T) {
	flags := []string{"--listen", "127.0.0.1:0", "--log", "file:" + t.TempDir(), "--fsync", "never"}
	p := launch(t, flags...)
	nothing := p.poll("channel=a&cursor=earliest&timeout=1").Cursor
	p.ended()
	p = launch(t, flags...)
	before := p.publish("a", "x")
	p.ended()
	for range 3 {
		p = launch(t, flags...)
		if a := p.poll("channel=a&cursor=earliest"); len(a.Messages) != 1 || a.Cursor != before {
			t.Errorf("%+v, want the message at %s", a, before)
		}
		if at := p.poll("channel=b&timeout=1").Cursor; at != before {
			t.Errorf("the position is %s, want %s", at, before)
		}
		p.ended()
	}
	p = launch(t, flags...)
	if after := p.publish("a", "y"); !strings.HasSuffix(after, "-2") || strings.TrimSuffix(after, "-2") == strings.TrimSuffix(before, "-1") {
		t.Errorf("the next cursor is %s after %s, want another epoch", after, before)
	}
	for cursor, want := range map[string][]string{nothing: {"x", "y"}, before: {"y"}} {
		if a := p.poll("channel=a&cursor=" + cursor); len(a.Gap) != 0 || !slices.Equal(a.texts(), want) {
			t.Errorf("after %s: %+v, want %q", cursor, a, want)
		}
	}
}

// What was published between a backup and its restoration is gone, and the cursors
// from in between must not mean what takes its numbers. So it is in both branches:
// in the one that goes on without the backup, the cursors of the other mean nothing.
func TestARestoredBackupIsAGapOnAllTransports(t *testing.T) {
	home := t.TempDir()
	dir, saved, other := filepath.Join(home, "log"), filepath.Join(home, "saved"), filepath.Join(home, "other")
	flags := func(dir string) []string { return []string{"--listen", "127.0.0.1:0", "--log", "file:" + dir} }
	put := func(from, to string) {
		t.Helper()
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	p := launch(t, flags(dir)...)
	kept := p.publish("b", "kept")
	p.ended()
	put(dir, saved)

	p = launch(t, flags(dir)...)
	between := []string{p.publish("a", "lost 1"), p.publish("c", "lost 2")}
	p.ended()
	if err := os.Rename(dir, other); err != nil {
		t.Fatal(err)
	}
	put(saved, dir)

	p = launch(t, flags(dir)...)
	after := p.publish("a", "new")
	p.publish("d", "newer")
	for _, cursor := range between {
		p.tellsAGap(cursor, "new")
	}
	if a := p.poll("channel=a&cursor=" + kept); len(a.Gap) != 0 || !slices.Equal(a.texts(), []string{"new"}) {
		t.Errorf("after what the backup has: %+v", a)
	}
	p.ended()

	p = launch(t, flags(other)...)
	p.tellsAGap(after, "lost 1")
	if a := p.poll("channel=c&cursor=" + between[0]); len(a.Gap) != 0 || !slices.Equal(a.texts(), []string{"lost 2"}) {
		t.Errorf("the branch without the backup: %+v", a)
	}
	p.ended()
}

// A cursor beyond what was recovered must not mean what takes its number.
func TestALostTailIsAGap(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"--listen", "127.0.0.1:0", "--log", "file:" + dir, "--fsync", "always"}
	p := launch(t, flags...)
	kept := p.publish("a", "kept")
	lost := p.publish("a", "lost")
	p.signal(syscall.SIGKILL)
	p.exitCode()
	p.client.CloseIdleConnections()
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	info, err := os.Stat(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(segments[0], info.Size()-1); err != nil {
		t.Fatal(err)
	}
	p = launch(t, flags...)
	p.publish("a", "new")
	if a := p.poll("channel=a&cursor=" + kept); len(a.Gap) != 0 || !slices.Equal(a.texts(), []string{"new"}) {
		t.Errorf("after what was kept: %+v", a)
	}
	if a := p.poll("channel=a&cursor=" + lost); len(a.Gap) != 1 || !slices.Equal(a.texts(), []string{"kept", "new"}) {
		t.Errorf("after what was lost: %+v, want a gap and all there is", a)
	}
	p.signal(syscall.SIGTERM)
	if p.exitCode(); !strings.Contains(p.stderr.String(), "torn") {
		t.Errorf("the server does not say that it cut something off: %s", p.stderr)
	}
}
