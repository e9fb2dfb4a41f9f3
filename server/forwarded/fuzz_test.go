package forwarded_test

import (
	"bytes"
	"testing"

	"peal/server/forwarded"
)

// FuzzForwarded compares with the oracle, and has a trusted proxy append the address
// that it sees: whatever stands before it, that address is the client.
func FuzzForwarded(f *testing.F) {
	for _, value := range []string{
		"192.0.2.7, 10.0.0.2", "[2001:db8::7]:80", "unknown", ",,, ", "for=192.0.2.7;proto=https, for=10.0.0.2",
		`for="[2001:db8::7]:_x";host="a,\"b"`, `for="`, `for="\", for=10.0.0.1`, "for=_hidden", ";;=", `""`, "10.0.0.1",
	} {
		f.Add([]byte(value), []byte(value))
	}
	trusted, err := forwarded.Parse(proxies)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, x, fwd []byte) {
		if bytes.ContainsAny(x, "\r\n") || bytes.ContainsAny(fwd, "\r\n") {
			return // no value has them: Head.Check
		}
		agree(t, proxies, head("X-Forwarded-For: "+string(x), "X-Forwarded-Proto: "+string(fwd)))
		agree(t, proxies, head("Forwarded: "+string(fwd), "forwarded: "+string(x)))
		agree(t, proxies, head("X-Forwarded-For: "+string(x), "Forwarded: "+string(fwd)))
		for _, lines := range [][]string{
			{"X-Forwarded-For: " + string(x) + ", 192.0.2.99"},
			{"X-Forwarded-For: " + string(x), "X-Forwarded-For: 192.0.2.99, 10.0.0.1"},
			{"Forwarded: " + string(fwd) + ", for=192.0.2.99"},
			{"Forwarded: " + string(fwd) + `,for="192.0.2.99:80";proto=http`},
			{"Forwarded: " + string(fwd), `Forwarded: for=192.0.2.99;host="a,b", for=10.0.0.1`},
		} {
			c, err := forwarded.Read(head(lines...), trusted)
			if err != nil || c.Addr.Addr().String() != "192.0.2.99" {
				t.Errorf("%q: %v, %v; want 192.0.2.99", lines, c.Addr, err)
			}
		}
	})
}
