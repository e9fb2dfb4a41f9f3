package idempotency_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/share"
)

// rig is a table with a clock, and a publisher that records every result.
type rig struct {
	*idempotency.Table
	t    *testing.T
	at   time.Time
	told []string // what waiters were told
}

// newRig makes a table that one share may fill.
func newRig(t *testing.T, window time.Duration, most int) *rig {
	r := &rig{t: t, at: time.UnixMilli(1_770_000_000_000)}
	r.Table = idempotency.New(window, most, most, func() time.Time { return r.at })
	return r
}

func key(name string) idempotency.Key { return idempotency.KeyOf("channel", "", name) }
func body(text string) idempotency.Digest {
	return idempotency.DigestOf("", false, []byte(text))
}

// claim claims the keys, which are named by one letter each, and says what came
// of it: "first", "pending", "7" or the error.
func (r *rig) claim(names, text string) string { return r.claimBy(0, names, text) }

func (r *rig) claimBy(by share.Key, names, text string) string {
	r.t.Helper()
	var keys []idempotency.Key
	for _, name := range names {
		keys = append(keys, key(string(name)))
	}
	claims := make([]idempotency.Claim, len(keys))
	err := r.Claim(by, keys, body(text), claims, func(i int, sequence uint64, err error) {
		r.told = append(r.told, fmt.Sprintf("%c:%d:%v", names[i], sequence, err))
	})
	if err != nil {
		return err.Error()
	}
	var said []string
	for _, c := range claims {
		switch c.State {
		case idempotency.First:
			said = append(said, "first")
		case idempotency.Pending:
			said = append(said, "pending")
		default:
			said = append(said, fmt.Sprint(c.Sequence))
		}
	}
	return strings.Join(said, " ")
}

func (r *rig) want(names, text, want string) {
	r.t.Helper()
	if got := r.claim(names, text); got != want {
		r.t.Errorf("claim of %s for %q: %s, want %s", names, text, got, want)
	}
}

func (r *rig) wantTold(want ...string) {
	r.t.Helper()
	if strings.Join(r.told, " ") != strings.Join(want, " ") {
		r.t.Errorf("told %q, want %q", r.told, want)
	}
	r.told = nil
}

const (
	conflict = "idempotency: the key was used for another message"
	busy     = "idempotency: too many attempts are in progress"
)

func TestTheFirstAttemptPublishesAndOthersGetItsSequence(t *testing.T) {
	r := newRig(t, time.Minute, 10)
	r.want("a", "x", "first")
	r.want("a", "x", "pending")
	r.want("a", "y", conflict)
	r.want("b", "y", "first")
	r.Settle(key("a"), 7)
	r.wantTold("a:7:<nil>")
	r.want("a", "x", "7")
	r.want("a", "y", conflict)
	r.at = r.at.Add(time.Minute - time.Millisecond)
	r.want("a", "x", "7")
	r.at = r.at.Add(time.Millisecond)
	r.want("a", "y", "first")
	r.want("b", "y", "pending") // however long it takes
	r.wantTold()
}

func TestAReleasedKeyIsFree(t *testing.T) {
	r := newRig(t, time.Minute, 10)
	r.want("a", "x", "first")
	r.want("a", "x", "pending")
	r.want("a", "x", "pending")
	r.Release(key("a"), errors.New("lost"))
	r.wantTold("a:0:lost", "a:0:lost")
	r.want("a", "y", "first")
	r.Settle(key("a"), 3)
	r.wantTold()
	r.want("a", "y", "3")
}

func TestKeysOfOneMessageAreClaimedTogetherOrNotAtAll(t *testing.T) {
	r := newRig(t, time.Minute, 10)
	r.want("b", "x", "first")
	r.want("c", "x", "first")
	r.Settle(key("c"), 5)
	r.want("abc", "x", "first pending 5")
	r.want("dcb", "y", conflict)
	r.want("d", "z", "first") // the refused attempt took nothing
	r.Settle(key("b"), 9)
	r.wantTold("b:9:<nil>")
}

func full(after time.Duration) string {
	return (&idempotency.FullError{After: after}).Error()
}

// settle claims the keys for a share, and settles them.
func (r *rig) settle(by share.Key, names string) {
	r.t.Helper()
	for _, name := range names {
		if got := r.claimBy(by, string(name), "x"); got != "first" {
			r.t.Fatalf("claim of %c for share %d: %s", name, by, got)
		}
		r.Settle(key(string(name)), uint64(name))
	}
}

// remembered is which of the keys are.
func (r *rig) remembered(names string) string {
	var known []rune
	for _, name := range names {
		if r.Knows(key(string(name))) {
			known = append(known, name)
		}
	}
	return string(known)
}

// TestAShareThatIsFullIsRefused: what was accepted stays remembered for the whole
// window, and nobody else notices.
func TestAShareThatIsFullIsRefused(t *testing.T) {
	r := newRig(t, time.Minute, 6)
	r.Table = idempotency.New(time.Minute, 6, 3, func() time.Time { return r.at })
	r.settle(1, "ab")
	r.at = r.at.Add(time.Second)
	r.settle(2, "x")
	r.settle(1, "c")
	for range 100 {
		if got := r.claimBy(1, "d", "x"); got != full(59*time.Second) {
			t.Fatalf("beyond the share: %s", got)
		}
		if got := r.claimBy(1, "ad", "x"); got != full(59*time.Second) {
			t.Fatalf("of two channels one beyond the share: %s", got)
		}
	}
	if got := r.claimBy(1, "a", "x"); got != "97" {
		t.Errorf("a repeat needs no room: %s", got)
	}
	r.settle(2, "yz")
	if got := r.remembered("abcxyz"); got != "abcxyz" || r.Evicted() != 0 {
		t.Errorf("remembered %s, %d evicted", got, r.Evicted())
	}
	r.at = r.at.Add(59 * time.Second) // a and b are free
	r.settle(1, "de")
	if got := r.claimBy(1, "f", "x"); got != full(time.Second) {
		t.Errorf("beyond the share again: %s", got)
	}
	if got := r.remembered("abcdexyz"); got != "cdexyz" {
		t.Errorf("remembered %s", got)
	}
}

// TestTheLargestShareMakesRoom: of a table that is full the oldest keys of the
// largest share go, down to what the smaller ones have.
func TestTheLargestShareMakesRoom(t *testing.T) {
	r := newRig(t, time.Minute, 9)
	r.Table = idempotency.New(time.Minute, 9, 6, func() time.Time { return r.at })
	r.settle(3, "A") // the oldest of all, of who has least
	r.settle(1, "abcdef")
	r.settle(2, "xy")
	r.settle(2, "z") // a goes
	r.settle(4, "B") // b goes
	if got := r.remembered("ABabcdefxyz"); got != "ABcdefxyz" || r.Evicted() != 2 {
		t.Errorf("remembered %s, %d evicted", got, r.Evicted())
	}
	if got := r.claimBy(2, "u", "x"); got != full(time.Minute) {
		t.Errorf("who would then be as large: %s", got)
	}
	if got := r.claimBy(5, "uvw", "x"); got != full(time.Minute) {
		t.Errorf("a message on three channels, for which two shares would have to give: %s", got)
	}
	r.settle(5, "u") // c goes
	if got := r.remembered("ABabcdefuxyz"); got != "ABdefuxyz" || r.Evicted() != 3 {
		t.Errorf("remembered %s, %d evicted", got, r.Evicted())
	}
}

// TestPendingKeysMakeNoRoom: what is under way is not forgotten.
func TestPendingKeysMakeNoRoom(t *testing.T) {
	r := newRig(t, time.Minute, 3)
	for _, name := range []string{"a", "b", "c"} {
		r.want(name, "x", "first")
	}
	if got := r.claimBy(1, "d", "x"); got != busy {
		t.Errorf("%s, want %s", got, busy)
	}
	r.Settle(key("a"), 4)
	if got := r.claimBy(1, "d", "x"); got != "first" {
		t.Errorf("%s, want room", got)
	}
}

func TestWaitersAreLimited(t *testing.T) {
	r := newRig(t, time.Minute, 10)
	r.want("a", "x", "first")
	for range idempotency.MaxWaiters {
		r.want("a", "x", "pending")
	}
	r.want("a", "x", busy)
	r.want("b", "x", "first")
	r.Settle(key("a"), 1)
	if len(r.told) != idempotency.MaxWaiters {
		t.Errorf("%d were told, want %d", len(r.told), idempotency.MaxWaiters)
	}
	r.want("b", "x", "pending") // those who were told make room
}

func TestKeysAndDigestsDependOnEachPart(t *testing.T) {
	keys := map[idempotency.Key]string{}
	for _, parts := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"a", "", "bc"}, {"", "", "abc"}, {"a", "b", "d"}} {
		k := idempotency.KeyOf(parts[0], parts[1], parts[2])
		if other, ok := keys[k]; ok {
			t.Errorf("%q has the key of %s", parts, other)
		}
		keys[k] = fmt.Sprint(parts)
	}
	digests := map[idempotency.Digest]string{}
	for _, m := range []struct {
		event  string
		binary bool
		data   string
	}{{"", false, ""}, {"", true, ""}, {"e", false, ""}, {"", false, "e"}, {"e", false, "x"}, {"ex", false, ""}} {
		d := idempotency.DigestOf(m.event, m.binary, []byte(m.data))
		if other, ok := digests[d]; ok {
			t.Errorf("%+v has the digest of %s", m, other)
		}
		digests[d] = fmt.Sprintf("%+v", m)
	}
	// They are compared with what came before a restart: never another hash. This
	// is the start of: printf "\x01\x01edata" | sha256sum
	if got := fmt.Sprintf("%x", idempotency.DigestOf("e", true, []byte("data"))); got != "ecd3ed430536c8937627c4c98636a790" {
		t.Errorf("the digest of a known message is %s", got)
	}
}

func TestKeysSurviveARestart(t *testing.T) {
	r := newRig(t, time.Minute, 10)
	now := r.at.UnixMilli()
	entry := func(sequence uint64, age time.Duration, name, text string) *log.Entry {
		return &log.Entry{Sequence: sequence, Time: now - age.Milliseconds(), Channel: "channel", Data: []byte(text), IdempotencyKey: name}
	}
	r.Restore(entry(1, time.Minute, "a", "x")) // too old
	r.Restore(entry(2, 50*time.Second, "b", "x"))
	r.Restore(entry(3, 40*time.Second, "", "x")) // without a key
	also := entry(4, 30*time.Second, "c", "x")
	also.Also = []string{"second"}
	r.Restore(also)
	presence := entry(5, 0, "d", "x")
	presence.Kind = log.KindPresence
	r.Restore(presence)
	r.Restore(entry(6, 0, "b", "y")) // accepted again after the table was full: the later one counts
	r.Restore(entry(7, -time.Hour, "e", "x"))
	if r.Len() != 4 {
		t.Errorf("%d keys, want 4", r.Len())
	}
	r.want("a", "x", "first")
	r.want("b", "y", "6")
	r.want("b", "x", conflict)
	r.want("c", "x", "4")
	r.want("d", "x", "first")
	if got := (r.claimKey(idempotency.KeyOf("second", "", "c"), "x")); got != (idempotency.Claim{State: idempotency.Replayed, Sequence: 4}) {
		t.Errorf("the second channel: %+v", got)
	}
	r.at = r.at.Add(time.Minute)
	r.want("e", "x", "first") // of a clock that was ahead: not longer than the window from now on
}

func (r *rig) claimKey(k idempotency.Key, text string) (c idempotency.Claim) {
	claims := make([]idempotency.Claim, 1)
	if err := r.Claim(0, []idempotency.Key{k}, body(text), claims, nil); err != nil {
		r.t.Error(err)
	}
	return claims[0]
}

// Of many who come at once with one key exactly one publishes, and all get what
// it got. Every third attempt to publish fails.
func TestOneOfManyPublishes(t *testing.T) {
	table := idempotency.New(time.Minute, 1000, 1000, time.Now)
	var sequence atomic.Uint64
	for round := range 50 {
		k, d := key(fmt.Sprint(round)), body("x")
		var published, told atomic.Uint64
		var done sync.WaitGroup
		for range 100 {
			done.Add(1)
			go func() { // ends when it was told
				claims := make([]idempotency.Claim, 1)
				err := table.Claim(0, []idempotency.Key{k}, d, claims, func(_ int, sequence uint64, err error) {
					if (sequence == 0) == (err == nil) {
						t.Errorf("told %d, %v", sequence, err)
					}
					told.Add(1)
					done.Done()
				})
				switch {
				case err != nil:
					t.Error(err)
				case claims[0].State == idempotency.Pending:
					return
				case claims[0].State == idempotency.First && sequence.Add(1)%3 == 0:
					table.Release(k, errors.New("lost"))
				case claims[0].State == idempotency.First:
					if published.Add(1) > 1 {
						t.Error("published twice")
					}
					table.Settle(k, 1000+uint64(round))
				case claims[0].Sequence != 1000+uint64(round):
					t.Errorf("round %d: replayed %d", round, claims[0].Sequence)
				}
				done.Done()
			}()
		}
		done.Wait()
	}
}

func TestAHundredThousandKeysAreSmall(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := idempotency.New(time.Minute, n, n, time.Now)
	claims := make([]idempotency.Claim, 1)
	for i := range n {
		k := key(fmt.Sprint(i))
		if err := table.Claim(0, []idempotency.Key{k}, body("x"), claims, nil); err != nil {
			t.Fatal(err)
		}
		table.Settle(k, uint64(i+1))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	bytes := int(after.HeapAlloc-before.HeapAlloc) / n
	runtime.KeepAlive(table)
	t.Logf("%d bytes a key", bytes)
	if bytes > 160 {
		t.Errorf("a key costs %d bytes, want at most 160", bytes)
	}
}

func BenchmarkClaim(b *testing.B) {
	at := time.Now()
	table := idempotency.New(time.Minute, 10_000, 10_000, func() time.Time { return at })
	keys, claims, data := make([]idempotency.Key, 1), make([]idempotency.Claim, 1), make([]byte, 256)
	names := make([]string, 20_000)
	for i := range names {
		names[i] = fmt.Sprint("order-", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at = at.Add(time.Minute / 10_000) // as many as the window has room for
		keys[0] = idempotency.KeyOf("news", "", names[i%len(names)])
		if err := table.Claim(0, keys, idempotency.DigestOf("", false, data), claims, nil); err != nil {
			b.Fatal(err)
		}
		if claims[0].State == idempotency.First {
			table.Settle(keys[0], 1)
		}
	}
}

// A key that another server has used is learned while the table is in use, and one that is
// pending here is left to its attempt.
func TestLearn(t *testing.T) {
	now := time.Unix(1000, 0)
	table := idempotency.New(time.Minute, 100, 100, func() time.Time { return now })
	e := &log.Entry{Sequence: 7, Time: now.UnixMilli(), Channel: "a", Also: []string{"b"}, IdempotencyKey: "k", Data: []byte("x")}
	claim := func(channel, data string) (idempotency.Claim, error) {
		var claims [1]idempotency.Claim
		err := table.Claim(1, []idempotency.Key{idempotency.KeyOf(channel, "", "k")}, idempotency.DigestOf("", false, []byte(data)), claims[:], func(int, uint64, error) {})
		return claims[0], err
	}
	table.Learn(e)
	table.Learn(e)
	for _, channel := range []string{"a", "b"} {
		if c, err := claim(channel, "x"); err != nil || c != (idempotency.Claim{State: idempotency.Replayed, Sequence: 7}) {
			t.Errorf("%s: %+v, %v", channel, c, err)
		}
	}
	if _, err := claim("a", "y"); err != idempotency.ErrConflict {
		t.Errorf("another message: %v", err)
	}
	if c, err := claim("c", "x"); err != nil || c.State != idempotency.First {
		t.Fatalf("%+v, %v", c, err)
	}
	table.Learn(&log.Entry{Sequence: 8, Time: now.UnixMilli(), Channel: "c", IdempotencyKey: "k", Data: []byte("x")})
	table.Settle(idempotency.KeyOf("c", "", "k"), 8) // it would panic if it were not pending
	now = now.Add(2 * time.Minute)
	table.Learn(&log.Entry{Sequence: 9, Time: now.Add(-time.Minute).UnixMilli(), Channel: "d", IdempotencyKey: "k"}) // its window has ended
	table.Learn(&log.Entry{Sequence: 9, Time: now.UnixMilli(), Channel: "e"})
	table.Learn(&log.Entry{Sequence: 9, Time: now.UnixMilli(), Channel: "f", IdempotencyKey: "k", Kind: log.KindControl})
	for _, channel := range []string{"d", "e", "f"} {
		if c, err := claim(channel, "x"); err != nil || c.State != idempotency.First {
			t.Errorf("%s: %+v, %v", channel, c, err)
		}
	}
}
