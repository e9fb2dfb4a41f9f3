package log_test

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"testing"

	"peal/server/log"
)

func TestPackedEntriesComeBack(t *testing.T) {
	data := []byte("shared")
	id := [16]byte{1}
	wide := []*log.Entry{{Channel: "a", Data: data}, {Channel: "b", Data: data}, {Channel: "c", Data: data}}
	log.Share(wide)
	empty := []*log.Entry{{Channel: "a"}, {Channel: "b"}}
	log.Share(empty)
	all := append([]*log.Entry{{Channel: "x", Also: []string{"y", ""}, Event: "e", Data: []byte{0, 255}, Binary: true, Publisher: "p", TTL: 5,
		Key: "k", Private: true, Exclude: &id, IdempotencyKey: "i", Tags: map[string]string{"t": "v"}}}, append(wide, empty...)...)
	log.Number(all[:1], 5, 1)
	log.Number(wide, 10, 2)
	log.Number(empty, 20, 3)
	for _, entries := range [][]*log.Entry{nil, all, all[2:], all[3:], all[1:2]} { // also without what carries the data
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(log.Pack(entries)); err != nil {
			t.Fatal(err)
		}
		var p log.Packed
		if err := gob.NewDecoder(&b).Decode(&p); err != nil {
			t.Fatal(err)
		}
		got, err := p.Unpack()
		if err != nil || len(got) != len(entries) {
			t.Fatalf("%d of %d entries: %v", len(got), len(entries), err)
		}
		for i, e := range entries {
			plain, want := *got[i], *e
			plain.Shared, want.Shared = nil, nil
			if (got[i].Shared == nil) != (e.Shared == nil) || !reflect.DeepEqual(plain, want) || got[i].Size() != e.Size() {
				t.Errorf("entry %d is %+v, want %+v", e.Sequence, plain, want)
			}
			if i > 0 && (e.Shared == entries[i-1].Shared) != (got[i].Shared == got[i-1].Shared) {
				t.Errorf("entry %d shares with another one than before", e.Sequence)
			}
		}
		if wide[0].Shared.First != 10 {
			t.Error("packing changes the entries")
		}
	}
	p := log.Pack(all)
	for what, bad := range map[string]log.Packed{
		"a count that is wrong": {Count: p.Count + 1, Bytes: p.Bytes},
		"cut short":             {Count: p.Count, Bytes: p.Bytes[:len(p.Bytes)-1]},
		"out of order":          {Count: 2, Bytes: append(log.Pack(all[1:2]).Bytes, log.Pack(all[:1]).Bytes...)},
	} {
		if _, err := bad.Unpack(); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestAnEpochSucceeds(t *testing.T) {
	l := log.NewLineage(1, log.Predecessor{Epoch: 9, Last: 4})
	check := func(epoch log.Epoch, head uint64, want ...log.Predecessor) {
		t.Helper()
		var h log.Handover
		l.HandOver(&h)
		h.Head = head
		next := &log.Lineage{}
		if err := next.TakeOver(&h); err != nil {
			t.Fatal(err)
		}
		for sequence := range head + 1 {
			if next.Cursor(sequence) != l.Cursor(sequence) {
				t.Errorf("before the commit position %d is called %v, want %v", sequence, next.Cursor(sequence), l.Cursor(sequence))
			}
		}
		next.Succeed(epoch, head)
		if got := next.Predecessors(); !reflect.DeepEqual(got, want) {
			t.Errorf("the predecessors of %d are %v, want %v", epoch, got, want)
		}
		for sequence := range head + 1 {
			if c := l.Cursor(sequence); next.Cursor(sequence) != c {
				t.Errorf("position %d is called %v, want %v", sequence, next.Cursor(sequence), c)
			}
		}
		if c := next.Cursor(head + 1); c.Epoch != epoch {
			t.Errorf("what comes next is called %v", c)
		}
		l = next
	}
	check(2, 7, log.Predecessor{Epoch: 9, Last: 4}, log.Predecessor{Epoch: 1, Last: 7})
	check(3, 7, log.Predecessor{Epoch: 9, Last: 4}, log.Predecessor{Epoch: 1, Last: 7}) // 2 has named nothing
	l.Begin(4, 10, l.Predecessors()...)                                                 // 8 to 10 are lost
	check(5, 10, log.Predecessor{Epoch: 9, Last: 4}, log.Predecessor{Epoch: 1, Last: 7})
	l = log.NewLineage(1)
	check(2, 0, log.Predecessor{Epoch: 1, Last: 0})
	for i := range uint64(300) {
		l.Succeed(log.Epoch(100+i), i+1)
	}
	if n := len(l.Predecessors()); n != log.MaxPredecessors {
		t.Errorf("%d predecessors", n)
	}
}
