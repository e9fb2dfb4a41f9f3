package endtoend_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A burst to a channel that many connections have, each beside one of its own,
// costs its bytes once and not once for each of them. Nobody misses anything,
// although the channel keeps no history.
func TestBurstToManySetsOfChannels(t *testing.T) {
	const connections, messages, size = 450, 100, 400
	p := launch(t, "--listen", "127.0.0.1:0", "--loops", "1", "--history-messages", "0")
	mark := []byte("burst-")
	var all sync.WaitGroup
	for n := range connections {
		own := fmt.Sprint("own-", n)
		w := p.dial()
		switch n % 3 {
		case 0:
			w.send(get("/sse?channel=room&channel=" + own))
		case 1:
			w.send("GET /ws?format=json&channel=room&channel="+own+" HTTP/1.1\r\n"+hostLine+handshake+"\r\n").want("GET", 101)
		case 2:
			w.send("GET /ws HTTP/1.1\r\n"+hostLine+handshake+"Sec-WebSocket-Protocol: peal.v1\r\n\r\n").want("GET", 101)
			for i, channel := range []string{own, "room"} {
				w.send(masked(fmt.Sprintf(`{"id":%d,"command":"subscribe","channel":%q}`, i, channel)))
			}
		}
		all.Go(func() { // until it has all of them
			got, rest, b := 0, []byte(nil), make([]byte, 16<<10)
			for got < messages {
				n, err := w.r.Read(b)
				rest = append(rest, b[:n]...)
				if bytes.Contains(rest, []byte("gap\"")) || err != nil {
					t.Errorf("connection %d: %v after %d messages, or a gap: %.300q", n, err, got, rest)
					return
				}
				got += bytes.Count(rest, mark)
				if i := bytes.LastIndex(rest, mark); i >= 0 {
					rest = rest[i+len(mark):]
				}
				rest = append([]byte(nil), rest[max(0, len(rest)-len(mark)+1):]...)
			}
		})
	}
	p.awaitSubscribers("room", connections)
	before := p.peakMemory()
	one := fmt.Sprintf(`{"channel":"room","data":"burst-%s"}`, strings.Repeat("x", size))
	batch, err := p.try("POST", "/publish/batch", `{"messages":[`+one+strings.Repeat(","+one, messages-1)+`]}`, "Content-Type: application/json")
	if err != nil || batch.status != 200 {
		t.Fatalf("batch: %v, %d %.200s", err, batch.status, batch.body)
	}
	all.Wait()
	// 50 kB of messages. A copy for each connection would be 45 times the limit's.
	grown := p.peakMemory() - before
	t.Logf("%d B of memory", grown)
	if grown > 8<<20 {
		t.Errorf("%d B of memory for %d messages of %d B to %d connections, want at most 8 MiB", grown, messages, size, connections)
	}
}

// peakMemory is the greatest resident size that the process ever had, in bytes.
func (p *peal) peakMemory() int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.PID))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kB, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		p.t.Fatal(err)
	}
	return kB << 10
}
