package log_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"peal/server/log"
)

func TestCursorTextIsReadBack(t *testing.T) {
	for _, row := range []struct {
		cursor log.Cursor
		text   string
	}{
		{log.Cursor{Epoch: 1, Sequence: 0}, "1-0"},
		{log.Cursor{Epoch: 35, Sequence: 1}, "z-1"},
		{log.Cursor{Epoch: 36, Sequence: 1042}, "10-1042"},
		{log.Cursor{Epoch: math.MaxUint64, Sequence: math.MaxUint64}, "3w5e11264sgsf-18446744073709551615"},
	} {
		if got := row.cursor.String(); got != row.text {
			t.Errorf("text of %+v is %q, want %q", row.cursor, got, row.text)
		}
		if got, err := log.ParseCursor(row.text); err != nil || got != row.cursor {
			t.Errorf("ParseCursor(%q) = %+v, %v, want %+v", row.text, got, err, row.cursor)
		}
		if got, err := log.ParseCursor([]byte(row.text)); err != nil || got != row.cursor {
			t.Errorf("ParseCursor([]byte(%q)) = %+v, %v, want %+v", row.text, got, err, row.cursor)
		}
		if len(row.text) > log.MaxCursorBytes {
			t.Errorf("%q is longer than MaxCursorBytes", row.text)
		}
	}
}

func TestParseCursorRefusesEverythingElse(t *testing.T) {
	for _, text := range []string{
		"", "-", "1", "1-", "-1", "0-1", "1--1", "1-1-1", "01-1", "1-01", "1-00", "+1-1", "1-+1", " 1-1", "1-1 ",
		"A-1", "1-a", "1_1", "1-1\n", "\x001-1", "1-١",
		"3w5e11264sgsg-1",               // epoch 2^64
		"1-18446744073709551616",        // sequence 2^64
		"zzzzzzzzzzzzz-1",               // as long as an epoch may be, and too large
		"1-99999999999999999999",        // as long as a sequence may be, and too large
		strings.Repeat("1", 100),        // too long
		"1-" + strings.Repeat("1", 100), // too long
	} {
		if got, err := log.ParseCursor(text); !errors.Is(err, log.ErrCursor) || !got.IsZero() {
			t.Errorf("ParseCursor(%q) = %+v, %v, want ErrCursor", text, got, err)
		}
	}
}

func TestNewEpochIsNeverZeroAndHardlyEverRepeats(t *testing.T) {
	seen := make(map[log.Epoch]bool)
	for range 1000 {
		e := log.NewEpoch()
		if e == 0 || seen[e] {
			t.Fatalf("epoch %d again, or zero", e)
		}
		seen[e] = true
	}
}

func TestCursorDoesNotAllocate(t *testing.T) {
	c := log.Cursor{Epoch: math.MaxUint64, Sequence: math.MaxUint64}
	buf := make([]byte, 0, log.MaxCursorBytes)
	text := c.String()
	if n := testing.AllocsPerRun(100, func() {
		buf = c.Append(buf[:0])
		if got, err := log.ParseCursor(buf); err != nil || got != c {
			t.Fatal(got, err)
		}
		if got, err := log.ParseCursor(text); err != nil || got != c {
			t.Fatal(got, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzCursor(f *testing.F) {
	for _, text := range []string{"1-0", "z-1", "10-1042", "3w5e11264sgsf-18446744073709551615", "", "-", "01-1", "1-01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := log.ParseCursor(text)
		if b, errBytes := log.ParseCursor([]byte(text)); b != c || (err == nil) != (errBytes == nil) {
			t.Fatalf("%q: string gives %+v, %v; bytes give %+v, %v", text, c, err, b, errBytes)
		}
		if err != nil {
			return
		}
		if got := c.String(); got != text {
			t.Fatalf("%q was accepted, but its cursor is written %q", text, got)
		}
	})
}
