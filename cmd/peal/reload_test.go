package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/server/token"
)

// peal reload replaces the secrets of a running server, and a bad file changes nothing.
func TestReloadReplacesSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(one)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in, log := io.Pipe()
	ended := make(chan error, 1)
	go func() { // ends with the context
		ended <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--loops", "1", "--auth", "token", "--token-secret-file", path, "--log-format", "json"}, nil, io.Discard, log)
		log.Close()
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var serving struct {
		Msg              string
		Addresses, Admin []string
	}
	lines := bufio.NewScanner(in)
	for serving.Msg != "serving" {
		if !lines.Scan() {
			t.Fatal("the server does not start")
		}
		if err := json.Unmarshal(lines.Bytes(), &serving); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the program

	status := func(secret string) int {
		t.Helper()
		text, err := token.Sign(secret, token.Claims{Subject: "1", Subscribe: []string{"a"}, Issued: time.Now(), Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest("GET", "http://"+serving.Addresses[0]+"/channels/a/history", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+text)
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	reloads := func(want string) error {
		t.Helper()
		var out bytes.Buffer
		err := run(ctx, []string{"reload", "--url", "http://" + serving.Admin[0] + "/reload"}, nil, &out, io.Discard)
		if text := out.String(); !strings.Contains(text, want) {
			t.Errorf("printed %q, want %q", text, want)
		}
		return err
	}
	check := func(when string, first, second int) {
		t.Helper()
		if a, b := status(one), status(two); a != first || b != second {
			t.Errorf("%s: %d and %d, want %d and %d", when, a, b, first, second)
		}
	}
	check("at the start", 200, 401)
	write(one + "\n" + two)
	check("before a reload", 200, 401)
	if err := reloads("reloaded"); err != nil {
		t.Error(err)
	}
	check("with both", 200, 200)
	write("short")
	err := reloads("")
	if err == nil || !strings.Contains(err.Error(), "422") || !strings.Contains(err.Error(), "token-secret-file") || strings.Contains(err.Error(), "short\n") {
		t.Errorf("a bad file: %v", err)
	}
	check("after a bad file", 200, 200)
	write(two)
	if err := reloads("reloaded"); err != nil {
		t.Error(err)
	}
	check("at the end", 401, 200)
}
