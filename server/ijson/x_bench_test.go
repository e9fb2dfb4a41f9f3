package ijson_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"peal/server/ijson"
)

// BenchmarkReader reads publications as a batch has them, beside encoding/json.
func BenchmarkReader(b *testing.B) {
	for _, size := range []int{50, 8000} {
		one := `{"channel":"room-7","data":"` + strings.Repeat("hello, wörld ", size/14) + `\"","event":"update","idempotency_key":"k-1"}`
		text := []byte("[" + strings.Repeat(one+",", 99) + one + "]")
		b.Run(fmt.Sprintf("data=%d/with=ijson", size), func(b *testing.B) {
			var r ijson.Reader
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r.Start(text)
				for r.Enter('['); r.More(); {
					for r.Enter('{'); r.More(); {
						r.Name()
						r.Value().Text()
					}
				}
				if err := r.End(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("data=%d/with=encoding-json", size), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var messages []json.RawMessage
				if err := json.Unmarshal(text, &messages); err != nil {
					b.Fatal(err)
				}
				for _, m := range messages {
					var fields struct {
						Channel, Data, Event string
						Key                  string `json:"idempotency_key"`
					}
					if err := json.Unmarshal(m, &fields); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
