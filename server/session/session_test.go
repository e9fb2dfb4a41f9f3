package session_test

import (
	"math"
	"strings"
	"testing"

	"peal/server/session"
)

func TestAnIDNamesOneSessionOfItsProcess(t *testing.T) {
	ids, others := session.New([16]byte{1}), session.Random()
	seen := map[session.ID]uint64{}
	for _, n := range []uint64{1, 2, 255, 256, 1 << 32, 1<<48 + 7, math.MaxUint64} {
		id := ids.Of(n)
		if before, twice := seen[id]; twice {
			t.Errorf("sessions %d and %d have the same id %s", before, n, id)
		}
		seen[id] = n
		if got, ok := ids.Session(id); !ok || got != n {
			t.Errorf("%s is of session %d (%v), want %d", id, got, ok, n)
		}
		if got, ok := others.Session(id); ok {
			t.Errorf("another process takes %s for its session %d", id, got)
		}
		if others.Of(n) == id {
			t.Errorf("two processes give session %d the same id", n)
		}
		if id != ids.Of(n) || id != session.New([16]byte{1}).Of(n) {
			t.Errorf("session %d has several ids", n)
		}
		id[15] ^= 1
		if got, ok := ids.Session(id); ok {
			t.Errorf("a changed id is taken for session %d", got)
		}
	}
	if n, ok := ids.Session(session.ID{}); ok {
		t.Errorf("no id is session %d", n)
	}
}

func TestFreshIDsAreNoConnections(t *testing.T) {
	ids := session.New([16]byte{1})
	seen := map[session.ID]bool{}
	for n := range uint64(1000) {
		id := ids.Fresh()
		if other, ok := ids.Session(id); ok || seen[id] || id == ids.Of(n+1) {
			t.Fatalf("%s came before, or is of session %d (%v)", id, other, ok)
		}
		seen[id] = true
	}
}

func TestParseTakesWhatAppendWrites(t *testing.T) {
	ids := session.Random()
	for n := range uint64(1000) {
		id := ids.Of(n + 1)
		text := id.String()
		if got, ok := session.Parse([]byte(text)); !ok || got != id || len(text) != session.TextBytes {
			t.Fatalf("%q, %d bytes, is read as %s, %v", text, len(text), got, ok)
		}
		if line := string(id.AppendHeader([]byte("x"))); line != "xPeal-Session: "+text+"\r\n" || len(line)-1 != session.HeaderBytes {
			t.Fatalf("%q", line)
		}
	}
}

func TestParseRefusesAnythingElse(t *testing.T) {
	good := "AAAAAAAAAAAAAAAAAAAAAQ"
	if _, ok := session.Parse([]byte(good)); !ok {
		t.Fatalf("%q is refused", good)
	}
	for _, text := range []string{
		"", good[1:], good + "A", good + "==", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAR", "AAAAAAAAAAAAAAAAAAAA\nQ",
		strings.Replace(good, "A", "+", 1), strings.Replace(good, "A", "/", 1), strings.Replace(good, "A", "\x00", 1), strings.Replace(good, "A", " ", 1),
	} {
		if id, ok := session.Parse([]byte(text)); ok {
			t.Errorf("%q is read as %s", text, id)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	ids := session.Random()
	text := []byte(ids.Of(1).String())
	dst := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(1000, func() {
		id, _ := session.Parse(text)
		if n, _ := ids.Session(id); n != 1 {
			t.Fatal(n)
		}
		dst = ids.Of(2).AppendHeader(dst[:0])
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
