package deflate_test

import (
	"strings"
	"testing"

	"peal/loop/deflate"
)

const answer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// offers has the offers of RFC 7692 §7.1, legal and not, and the parameters that the
// answer has beside the two for no context.
var offers = []struct {
	name, offers string
	agreed       bool
	added        string
}{
	{"none", "", false, ""},
	{"another extension", "x-webkit-deflate-frame", false, ""},
	{"the name alone", "permessage-deflate", true, ""},
	{"the name in capitals", "Permessage-Deflate", true, ""},
	{"what Chromium and Firefox send", "permessage-deflate; client_max_window_bits", true, ""},
	{"what Safari sends", "permessage-deflate", true, ""},
	{"a client window with a value", "permessage-deflate; client_max_window_bits=10", true, ""},
	{"a quoted value", `permessage-deflate; client_max_window_bits="10"`, true, ""},
	{"a quoted value with an escape", `permessage-deflate; client_max_window_bits="1\0"`, true, ""},
	{"no context on the server", "permessage-deflate; server_no_context_takeover", true, ""},
	{"no context on both sides", "permessage-deflate;server_no_context_takeover;client_no_context_takeover", true, ""},
	{"a window of the server", "permessage-deflate; server_max_window_bits=15", true, "; server_max_window_bits=15"},
	{"a small window of the server", "permessage-deflate; server_max_window_bits=10", true, "; server_max_window_bits=10"},
	{"the smallest window of the server", "permessage-deflate; server_max_window_bits=8", true, "; server_max_window_bits=8"},
	{"all parameters", "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8; client_no_context_takeover; server_no_context_takeover", true, "; server_max_window_bits=9"},
	{"white space", "permessage-deflate \t;  server_max_window_bits = 12 ", true, "; server_max_window_bits=12"},
	{"empty items", ",, permessage-deflate ,", true, ""},

	{"the first that can be met", "permessage-deflate; server_max_window_bits=10, permessage-deflate", true, "; server_max_window_bits=10"},
	{"a fallback", "permessage-deflate; server_max_window_bits=16, permessage-deflate", true, ""},
	{"a fallback after an unknown parameter", "permessage-deflate; level=9, permessage-deflate; client_max_window_bits", true, ""},
	{"a fallback after another extension", "permessage-bzip2; level=9, permessage-deflate", true, ""},
	{"two fallbacks", "permessage-deflate; a, permessage-deflate; b, permessage-deflate; server_max_window_bits=11", true, "; server_max_window_bits=11"},

	{"an unknown parameter", "permessage-deflate; level=9", false, ""},
	{"a parameter twice", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", false, ""},
	{"a parameter twice with values", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", false, ""},
	{"a parameter twice in other case", "permessage-deflate; client_max_window_bits; Client_Max_Window_Bits", false, ""},
	{"a value where none may be", "permessage-deflate; server_no_context_takeover=1", false, ""},
	{"an empty value where none may be", `permessage-deflate; client_no_context_takeover=""`, false, ""},
	{"a window of the server without a value", "permessage-deflate; server_max_window_bits", false, ""},
	{"a window of 7", "permessage-deflate; server_max_window_bits=7", false, ""},
	{"a window of 16", "permessage-deflate; server_max_window_bits=16", false, ""},
	{"a window of 0", "permessage-deflate; client_max_window_bits=0", false, ""},
	{"a client window of 7", "permessage-deflate; client_max_window_bits=7", false, ""},
	{"a leading zero", "permessage-deflate; server_max_window_bits=010", false, ""},
	{"a sign", "permessage-deflate; server_max_window_bits=+10", false, ""},
	{"a window that is no number", "permessage-deflate; client_max_window_bits=ten", false, ""},
	{"three digits", "permessage-deflate; server_max_window_bits=100", false, ""},

	// Not in the form of RFC 6455 §9.1: nothing of the header counts.
	{"no name", "; server_no_context_takeover", false, ""},
	{"no parameter", "permessage-deflate;", false, ""},
	{"two semicolons", "permessage-deflate;; client_max_window_bits", false, ""},
	{"no value", "permessage-deflate; server_max_window_bits=", false, ""},
	{"no comma", "permessage-deflate permessage-deflate", false, ""},
	{"an open quote", `permessage-deflate; client_max_window_bits="10`, false, ""},
	{"a quote in the middle", `permessage-deflate; client_max_window_bits=1"0"`, false, ""},
	{"a quoted value that is no token", `permessage-deflate; client_max_window_bits="1 0"`, false, ""},
	{"a parenthesis", "permessage-deflate; (client_max_window_bits)", false, ""},
	{"a fault behind a good offer", "permessage-deflate, ;", false, ""},
	{"a control byte", "permessage-deflate\x00", false, ""},
}

func TestNegotiate(t *testing.T) {
	for _, c := range offers {
		a := deflate.Negotiate([]byte(c.offers))
		if a.Agreed != c.agreed {
			t.Errorf("%s: %q agreed %v", c.name, c.offers, a.Agreed)
			continue
		}
		want := ""
		if c.agreed {
			want = answer + c.added + "\r\n"
		}
		if got := string(a.AppendLine(nil)); got != want {
			t.Errorf("%s: %q gets %q, want %q", c.name, c.offers, got, want)
		}
		if narrow := strings.Contains(c.added, "window") && !strings.HasSuffix(c.added, "15"); narrow != (a.Window == deflate.Narrow) {
			t.Errorf("%s: window %v", c.name, a.Window)
		}
	}
}

// The answer is itself in the form of an offer, and agrees to no more than was offered.
func FuzzNegotiate(f *testing.F) {
	for _, c := range offers {
		f.Add(c.offers)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := deflate.Negotiate([]byte(text))
		if !a.Agreed {
			if got := a.AppendLine(nil); len(got) > 0 {
				t.Fatalf("%q", got)
			}
			return
		}
		if !strings.Contains(strings.ToLower(text), deflate.Name) {
			t.Fatalf("agreed to %q", text)
		}
		line := strings.TrimSuffix(strings.TrimPrefix(string(a.AppendLine(nil)), "Sec-WebSocket-Extensions: "), "\r\n")
		if strings.ContainsAny(line, "\r\n,\"") {
			t.Fatalf("%q", line)
		}
		if again := deflate.Negotiate([]byte(line)); again != a {
			t.Fatalf("%q: %+v, as an offer %+v", line, a, again)
		}
	})
}
