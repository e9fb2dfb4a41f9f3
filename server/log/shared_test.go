package log_test

import (
	"bytes"
	"reflect"
	"testing"

	"peal/server/log"
)

// onChannels is one message of that many bytes on three channels.
func onChannels(bytesOfData int) []*log.Entry {
	data := bytes.Repeat([]byte("x"), bytesOfData)
	batch := []*log.Entry{{Channel: "a", Data: data}, {Channel: "b", Data: data}, {Channel: "c", Data: data}}
	log.Share(batch)
	return batch
}

func TestSharedDataIsChargedOnce(t *testing.T) {
	other := &log.Entry{Channel: "d", Data: []byte("other")}
	batch := append(onChannels(1000), other)
	batch = append(batch, onChannels(500)...)
	want := 7*(log.EntryOverhead+1) + 1000 + 5 + 500
	if got := log.Charge(batch); got != want {
		t.Errorf("charged %d, want %d", got, want)
	}
	log.Number(batch, 7, 1)
	saved := 0
	for i, e := range batch {
		if e.Sequence != uint64(7+i) || e.Time != 1 {
			t.Errorf("entry %d has the number %d and the time %d", i, e.Sequence, e.Time)
		}
		saved += e.Saved()
	}
	if saved != 2*1000+2*500 || batch[0].Saved() != 0 || other.Saved() != 0 {
		t.Errorf("%d bytes saved, want 3000", saved)
	}
	if one := []*log.Entry{{Channel: "a"}}; true {
		if log.Share(one); one[0].Shared != nil {
			t.Error("an entry shares data with nobody")
		}
	}
}

func TestSharedDataIsWrittenOnceAndReadBack(t *testing.T) {
	for _, size := range []int{0, 1, 5000} {
		batch := onChannels(size)
		log.Number(batch, 300, 9)
		var form []byte
		for _, e := range batch {
			form = log.AppendEntry(form, e)
		}
		if most := size + 3*60; len(form) > most {
			t.Errorf("%d bytes of data on three channels take %d, want at most %d", size, len(form), most)
		}
		var carrier log.Entry
		for i, want := range batch {
			got, n, err := log.ParseEntry(form)
			if err != nil || n == 0 {
				t.Fatalf("entry %d: n=%d, %v", i, n, err)
			}
			form = form[n:]
			if i == 0 {
				carrier = got
			} else if !got.Refers() || !got.Take(&carrier) || got.Shared != carrier.Shared {
				t.Errorf("entry %d does not take the data of the first: %+v", i, got)
			}
			if got.Channel != want.Channel || got.Sequence != want.Sequence || !bytes.Equal(got.Data, want.Data) {
				t.Errorf("got %+v, want %+v", got, *want)
			}
		}
	}
}

func TestReferringEntryIsNotReadAsEmpty(t *testing.T) {
	batch := onChannels(10)
	log.Number(batch, 1, 1)
	form := log.AppendEntry(nil, batch[1])
	if form[0] != 2 {
		t.Errorf("version %d: one that knows version 1 only would take the data for empty", form[0])
	}
	e, _, err := log.ParseEntry(form)
	if err != nil || !e.Refers() {
		t.Fatalf("%+v, %v", e, err)
	}
	for name, from := range map[string]*log.Entry{
		"nothing":                   nil,
		"an entry without others":   {Sequence: 1, Data: []byte("x")},
		"the data of other entries": {Sequence: 2, Data: []byte("x"), Shared: &log.Shared{First: 2}},
	} {
		if e.Take(from) || e.Data != nil {
			t.Errorf("it took %s", name)
		}
	}
	again, _, err := log.ParseEntry(log.AppendEntry(nil, &e))
	if err != nil || !reflect.DeepEqual(again, e) {
		t.Errorf("%+v became %+v, %v", e, again, err)
	}
}
