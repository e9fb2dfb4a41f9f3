package dialect_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"

	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/log"
)

const epoch = log.Epoch(35) // "z" in a cursor

// table is all dialects.
var table = dialect.NewTable(dialect.Standard()...)

// readAnswer has net/http, an independent client, take a response apart. All of it
// must be used.
func readAnswer(t testing.TB, method string, out []byte) (*http.Response, string) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(out))
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("behind the response: %q", rest)
	}
	return resp, string(body)
}

func message(sequence uint64, data string) *ring.Message {
	e := &log.Entry{Sequence: sequence, Channel: "a", Time: 1, Data: []byte(data)}
	return &ring.Message{Sequence: sequence, Channel: "a", Entry: e}
}
