package doctor_test

import (
	"encoding/json"
	"strings"
	"testing"

	"peal/cmd/peal/doctor"
)

func sample() *doctor.Report {
	bad := doctor.Fail("upgrade", "426", "no WebSocket", "restart")
	bad.Proxies = []doctor.Advice{{Proxy: "nginx", Lines: []string{"proxy_http_version 1.1;", "proxy_buffering off;"}}}
	return &doctor.Report{Subject: "http://a", Findings: []doctor.Finding{
		doctor.Fine("reachable", "in %d ms", 3), doctor.Warn("keep-alive", "no", "slow"), bad, doctor.Skip("tls", "cleartext"),
	}}
}

func TestReportAsText(t *testing.T) {
	b := &strings.Builder{}
	if err := sample().WriteText(b); err != nil {
		t.Fatal(err)
	}
	want := `http://a

ok       reachable   in 3 ms
warning  keep-alive  no
         why  slow
failure  upgrade     426
         why  no WebSocket
         fix  restart
         fix  nginx    proxy_http_version 1.1;
                       proxy_buffering off;
skipped  tls         cleartext

1 ok, 1 warnings, 1 failures, 1 skipped
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
}

func TestReportAsJSON(t *testing.T) {
	b := &strings.Builder{}
	if err := sample().WriteJSON(b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Subject                     string
		Findings                    []doctor.Finding
		Warnings, Failures, Skipped int
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Subject != "http://a" || len(got.Findings) != 4 || got.Warnings != 1 || got.Failures != 1 || got.Skipped != 1 || got.Findings[2].Proxies[0].Lines[1] != "proxy_buffering off;" {
		t.Errorf("got %+v", got)
	}
}

func TestFailedMeansAFailureAndStrictlyAWarning(t *testing.T) {
	check := func(strict, want bool, findings ...doctor.Finding) {
		t.Helper()
		if got := (&doctor.Report{Findings: findings}).Failed(strict); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(true, false, doctor.Fine("a", ""), doctor.Skip("b", ""))
	check(false, false, doctor.Warn("a", "", ""))
	check(true, true, doctor.Warn("a", "", ""))
	check(false, true, doctor.Fail("a", "", ""))
}

// A server of others, or a file name, must not write to the terminal what it likes.
func TestTextHasNoControlCharacters(t *testing.T) {
	b := &strings.Builder{}
	r := &doctor.Report{Subject: "a\x1b[2J", Findings: []doctor.Finding{doctor.Fail("a", "x\ny\x07", "\u202e", "z\x1b")}}
	if err := r.WriteText(b); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u202e") || !strings.Contains(b.String(), "x·y·") {
		t.Errorf("%q", b)
	}
}
