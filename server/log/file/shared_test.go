package file_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

// wide is one message on that many channels.
func wide(channels int, data []byte) []*log.Entry {
	batch := make([]*log.Entry, channels)
	for i := range batch {
		batch[i] = &log.Entry{Channel: fmt.Sprintf("channel-%d", i), Data: data}
	}
	log.Share(batch)
	return batch
}

func TestAMessageOnManyChannelsIsStoredOnce(t *testing.T) {
	fs := newDir()
	l, to := mustOpen(t, fs, file.Config{SegmentBytes: 200_000})
	data := bytes.Repeat([]byte("payload "), 8000)
	const channels, messages = 128, 10
	for i := range messages {
		done := make(chan error, 1)
		if err := l.Append(wide(channels, data[:len(data)-i]), func(err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if asked := to.asked; asked != [2]int{channels, channels*log.EntryOverhead + len(data) - messages + 1 + len("channel-1")*10 + len("channel-10")*90 + len("channel-100")*28} {
		t.Errorf("room was asked for %v, with the data more than once", asked)
	}
	mustClose(t, l)
	bytesOnDisk := 0
	for _, name := range fs.segments() {
		bytesOnDisk += fs.size(name)
	}
	if most := messages * (len(data) + channels*80); bytesOnDisk > most {
		t.Errorf("%d bytes on the disk, want at most %d", bytesOnDisk, most)
	}
	if len(fs.segments()) < 3 {
		t.Errorf("%d segments: the test wants several", len(fs.segments()))
	}

	l, err := file.OpenOn(file.Config{Log: quiet}, fs, time.Now, log.NewEpoch)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)
	n := 0
	var shared *log.Shared
	err = l.Start(&tail{}, func(batch []*log.Entry) {
		for _, e := range batch {
			if want := data[:len(data)-n/channels]; !bytes.Equal(e.Data, want) || e.Channel != fmt.Sprintf("channel-%d", n%channels) {
				t.Fatalf("entry %d on %s came back with %d bytes, want %d", e.Sequence, e.Channel, len(e.Data), len(want))
			}
			if n%channels == 0 {
				shared = e.Shared
			}
			if e.Shared == nil || e.Shared != shared {
				t.Fatalf("entry %d shares its data with nobody any more", e.Sequence)
			}
			n++
		}
	})
	if err != nil || n != channels*messages {
		t.Errorf("%d entries came back, want %d; %v", n, channels*messages, err)
	}
}

// A stop in the midst of a wide message leaves some of its entries: those that
// are there have their data.
func TestAWideMessageCutShort(t *testing.T) {
	fs := newDir()
	l, _ := mustOpen(t, fs, file.Config{})
	data := bytes.Repeat([]byte("x"), 1000)
	if err := l.Append(wide(5, data), nil); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	name := fs.segments()[0]
	whole := fs.names[name].now
	for cut := len(whole) - 1; cut > len(whole)-600; cut -= 7 {
		torn := newDir()
		torn.put(name, whole[:cut])
		l, err := file.OpenOn(file.Config{Log: quiet}, torn, time.Now, log.NewEpoch)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		err = l.Start(&tail{}, func(batch []*log.Entry) {
			for _, e := range batch {
				if !bytes.Equal(e.Data, data) {
					t.Errorf("cut at %d: entry %d has %d bytes of data", cut, e.Sequence, len(e.Data))
				}
			}
		})
		if err != nil {
			t.Errorf("cut at %d: %v", cut, err)
		}
		mustClose(t, l)
	}
}
