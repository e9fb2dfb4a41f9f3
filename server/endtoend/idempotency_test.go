package endtoend_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestARepeatWithTheSameKeyIsNotPublishedAgain(t *testing.T) {
	p := start(t)
	publish := func(path, body, key string) (status int, cursor string, replayed bool) {
		t.Helper()
		a := p.do("POST", path, body, "Content-Type: text/plain", "Idempotency-Key: "+key)
		if a.status == 200 {
			cursor = decode[struct{ Cursor string }](t, a.body).Cursor
		}
		return a.status, cursor, a.header.Get("Idempotency-Replayed") == "true"
	}
	status, first, replayed := publish("/publish?channel=a", "one", "k")
	if status != 200 || first == "" || replayed {
		t.Fatalf("first: %d %q replayed %v", status, first, replayed)
	}
	p.publish("a", "between")
	if status, cursor, replayed := publish("/publish?channel=a", "one", "k"); status != 200 || cursor != first || !replayed {
		t.Errorf("repeat: %d %q replayed %v, want the cursor %q", status, cursor, replayed, first)
	}
	if status, _, _ := publish("/publish?channel=a", "two", "k"); status != 422 {
		t.Errorf("another message: %d, want 422", status)
	}
	if status, cursor, replayed := publish("/publish?channel=b", "two", "k"); status != 200 || cursor == first || replayed {
		t.Errorf("another channel: %d %q replayed %v", status, cursor, replayed)
	}
	v1 := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	v1.next() // the greeting
	v1.send(false, `{"id":1,"command":"publish","channel":"a","data":"one","idempotency_key":"k"}`)
	if got := v1.next(); !strings.Contains(got.data, `"cursor":"`+first+`"`) {
		t.Errorf("a peal.v1 client with the same key: %s", got.data)
	}
	if got := p.poll("channel=a&cursor=earliest").texts(); !slices.Equal(got, []string{"one", "between"}) {
		t.Errorf("published %q", got)
	}
}

// A hundred clients publish with one key at a time, half of them in batches, while
// others publish without: each key is one message, and all get its cursor.
func TestManyRepeatsAtOnceAreOneMessage(t *testing.T) {
	const keys, each = 20, 100
	p := start(t)
	for k := range keys {
		cursors := make([]string, each)
		var done sync.WaitGroup
		for i := range each {
			done.Go(func() {
				switch {
				case i%10 == 0:
					a, err := p.try("POST", "/publish?channel=others", "x")
					if err != nil || a.status != 200 {
						t.Errorf("without a key: %v %d", err, a.status)
					}
				case i%2 == 0:
					item := fmt.Sprintf(`{"channel":"a","data":"%d","idempotency_key":"%d"}`, k, k)
					a, err := p.try("POST", "/publish/batch", `{"messages":[`+item+`,`+item+`]}`)
					if err != nil || a.status != 200 {
						t.Errorf("batch: %v %d", err, a.status)
						return
					}
					results := decode[struct{ Results []struct{ Cursor string } }](t, a.body).Results
					if cursors[i] = results[0].Cursor; results[1].Cursor != cursors[i] {
						t.Errorf("one batch has two cursors for a key: %s", a.body)
					}
				default:
					a, err := p.try("POST", "/publish?channel=a", fmt.Sprint(k), "Content-Type: text/plain", "Idempotency-Key: "+fmt.Sprint(k))
					if err != nil || a.status != 200 {
						t.Errorf("publish: %v %d %s", err, a.status, a.body)
						return
					}
					cursors[i] = decode[struct{ Cursor string }](t, a.body).Cursor
				}
			})
		}
		done.Wait()
		cursors = slices.DeleteFunc(cursors, func(c string) bool { return c == "" })
		slices.Sort(cursors)
		if cursors = slices.Compact(cursors); len(cursors) != 1 {
			t.Errorf("key %d has the cursors %v", k, cursors)
		}
	}
	got := p.poll("channel=a&cursor=earliest").texts()
	if len(got) != keys {
		t.Errorf("%d messages, want %d: %q", len(got), keys, got)
	}
}

// Keys are part of the log: who was cut off by the end of the server publishes
// again to the next one.
func TestKeysOutliveTheServer(t *testing.T) {
	flags := []string{"--listen", "127.0.0.1:0", "--log", "file:" + t.TempDir(), "--fsync", "always"}
	keyed := []string{"Content-Type: text/plain", "Idempotency-Key: k"}
	p := launch(t, flags...)
	p.publishTo("/publish?channel=a&channel=b", "x", keyed...)
	p.publish("a", "y")
	p.stop() // kill -9

	p = launch(t, flags...)
	again := p.do("POST", "/publish?channel=b&channel=a", "x", keyed...)
	if again.status != 200 || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeat: %d %v %s", again.status, again.header, again.body)
	}
	if a := p.do("POST", "/publish?channel=a", "z", keyed...); a.status != 422 {
		t.Errorf("another message: %d %s", a.status, a.body)
	}
	if got := p.poll("channel=a&channel=b&cursor=earliest").texts(); !slices.Equal(got, []string{"x", "x", "y"}) {
		t.Errorf("published %q", got)
	}
	cursor := decode[struct{ Cursor string }](t, again.body).Cursor
	if got := p.poll("channel=a&channel=b&cursor=" + cursor); !slices.Equal(got.texts(), []string{"y"}) || len(got.Gap) > 0 {
		t.Errorf("after the cursor of the repeat comes %q, gap %v", got.texts(), got.Gap)
	}
}
