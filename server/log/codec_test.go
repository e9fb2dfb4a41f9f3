package log_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"peal/server/log"
)

// full has every field set.
func full() log.Entry {
	return log.Entry{
		Sequence: 1042, Time: 1_770_000_000_123, Kind: log.KindControl,
		Channel: "private-App.User.1", Also: []string{"b", "", "ü"}, Event: "update",
		Data: []byte("hello\x00\xff"), Binary: true,
		Publisher: "p", TTL: 60_000, Key: "k", Private: true, Exclude: &[16]byte{0: 1, 15: 0xff},
		IdempotencyKey: "once", Tags: map[string]string{"z": "1", "a": "", "": "x"},
	}
}

// later is an entry of a later version: a publication on "a" with the fields 99 and 18.
func later(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString("01" + "0d000000" + "010107" + "6303aabbcc" + "040161" + "1200")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEntryIsReadBack(t *testing.T) {
	for _, want := range []log.Entry{
		{},
		{Sequence: 1, Channel: "a", Data: []byte("x")},
		{Sequence: math.MaxUint64, Time: math.MinInt64, TTL: -1, Kind: 255},
		full(),
	} {
		b := log.AppendEntry([]byte("before"), &want)[len("before"):]
		got, n, err := log.ParseEntry(append(b, "after"...))
		if err != nil || n != len(b) || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, n=%d, %v; want %+v, n=%d", got, n, err, want, len(b))
		}
	}
}

func TestEntryHasTheDocumentedForm(t *testing.T) {
	e := log.Entry{Sequence: 300, Time: -1, Channel: "ab", Data: []byte("xyz"), Binary: true}
	got := hex.EncodeToString(log.AppendEntry(nil, &e))
	want := "01" + "13000000" + "0102ac02" + "020101" + "04026162" + "070378797a" + "080101"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The field that an exclusion has now, and the one that it had: a session number, which
// names nobody in another process.
func TestExclusionHasAFieldOfItsOwn(t *testing.T) {
	e := log.Entry{Sequence: 7, Channel: "a", Exclude: &[16]byte{0: 1, 15: 0xff}}
	got := hex.EncodeToString(log.AppendEntry(nil, &e))
	if want := "01" + "18000000" + "010107" + "040161" + "1110" + "010000000000000000000000000000ff"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	former, err := hex.DecodeString("01" + "09000000" + "010107" + "040161" + "0d0105")
	if err != nil {
		t.Fatal(err)
	}
	read, n, err := log.ParseEntry(former)
	if err != nil || n != len(former) || read.Exclude != nil || !bytes.Equal(log.AppendEntry(nil, &read), former) {
		t.Errorf("the former field: %+v, n=%d, %v", read, n, err)
	}
}

func TestParseEntryAsksForMoreOnEveryPrefix(t *testing.T) {
	e := full()
	whole := log.AppendEntry(nil, &e)
	for cut := range whole {
		if _, n, err := log.ParseEntry(whole[:cut]); n != 0 || err != nil {
			t.Errorf("first %d of %d bytes: n=%d err=%v, want 0 and nil", cut, len(whole), n, err)
		}
	}
}

func TestParseEntryKeepsFieldsOfLaterVersions(t *testing.T) {
	b := later(t)
	e, n, err := log.ParseEntry(b)
	if err != nil || n != len(b) || e.Sequence != 7 || e.Channel != "a" {
		t.Fatalf("got %+v, n=%d, %v", e, n, err)
	}
	e.Sequence = 8
	got := hex.EncodeToString(log.AppendEntry(nil, &e))
	if want := "01" + "0d000000" + "010108" + "040161" + "6303aabbcc" + "1200"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseEntryRefusesDamage(t *testing.T) {
	for name, text := range map[string]string{
		"version 0":                    "00",
		"version 3":                    "0300000000",
		"version 2, refers to nothing": "0200000000",
		"version 1, refers":            "0106000000" + "010107" + "100101",
		"refers, and has data":         "0209000000" + "010107" + "070178" + "100101",
		"refers to before the first":   "0206000000" + "010107" + "100109",
		"refers without a number":      "0205000000" + "010107" + "1000",
		"too long":                     "01ffffffff",
		"tag cut":                      "010100000080",
		"length missing":               "010100000001",
		"value cut":                    "0103000000010200",
		"uvarint cut":                  "0103000000010180",
		"uvarint and more":             "010400000001020101",
		"empty integer":                "01020000000100",
		"kind above 255":               "0104000000030280" + "02",
		"flag of 2":                    "0103000000080102",
		"excludes too little":          "0105000000" + "010107" + "1100",
		"excludes too much":            "0116000000" + "010107" + "1111" + "0102030405060708090a0b0c0d0e0f1011",
		"tag without length":           "01020000000f00",
		"tag longer than its":          "01030000000f0105",
		"uvarint overflow":             "010c000000010affffffffffffffffff7f",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if e, n, err := log.ParseEntry(b); !errors.Is(err, log.ErrEntry) || n != 0 {
			t.Errorf("%s: got %+v, n=%d, %v; want ErrEntry", name, e, n, err)
		}
	}
}

// The hub keeps the length of a name in 16 bits.
func TestParseEntryRefusesLongChannels(t *testing.T) {
	for length, taken := range map[int]bool{65535: true, 65536: false} {
		name := strings.Repeat("c", length)
		for _, e := range []log.Entry{{Sequence: 7, Channel: name}, {Sequence: 7, Channel: "c", Also: []string{name}}} {
			_, _, err := log.ParseEntry(log.AppendEntry(nil, &e))
			if (err == nil) != taken || err != nil && !errors.Is(err, log.ErrEntry) {
				t.Errorf("a name of %d bytes: %v, want it to be taken: %t", length, err, taken)
			}
		}
	}
}

func TestParseEntryKeepsNothingOfItsInput(t *testing.T) {
	want := full()
	b := log.AppendEntry(nil, &want)
	got, _, err := log.ParseEntry(b)
	clear(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after the input was overwritten: %+v, %v; want %+v", got, err, want)
	}
}

func TestSizeCountsEveryByte(t *testing.T) {
	var empty log.Entry
	if got := empty.Size(); got != log.EntryOverhead {
		t.Errorf("an empty entry is charged %d, want %d", got, log.EntryOverhead)
	}
	e := full()
	if got, form := e.Size(), len(log.AppendEntry(nil, &e)); got < log.EntryOverhead+form/2 {
		t.Errorf("an entry of %d bytes is charged %d", form, got)
	}
}

func TestAppendEntryDoesNotAllocate(t *testing.T) {
	e := full()
	e.Tags = nil
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = log.AppendEntry(buf[:0], &e) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzEntry(f *testing.F) {
	e := full()
	f.Add(log.AppendEntry(nil, &e))
	f.Add(log.AppendEntry(nil, &log.Entry{}))
	f.Add(later(f))
	shared := onChannels(3)
	log.Number(shared, 1, 1)
	f.Add(log.AppendEntry(nil, shared[0]))
	f.Add(log.AppendEntry(nil, shared[2]))
	f.Add([]byte("\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, n, err := log.ParseEntry(b)
		if err != nil || n == 0 {
			if n != 0 {
				t.Fatalf("n=%d with %v", n, err)
			}
			return
		}
		if _, again, err := log.ParseEntry(b[:n]); err != nil || again != n {
			t.Fatalf("the %d bytes alone: n=%d, %v", n, again, err)
		}
		form := log.AppendEntry(nil, &first)
		second, n, err := log.ParseEntry(form)
		if err != nil || n != len(form) || !reflect.DeepEqual(first, second) {
			t.Fatalf("round trip: %+v became %+v, n=%d of %d, %v", first, second, n, len(form), err)
		}
		if again := log.AppendEntry(nil, &second); !bytes.Equal(again, form) {
			t.Fatalf("two forms of one entry:\n%x\n%x", form, again)
		}
	})
}
