package pusher

import "testing"

// What is read as a socket id is written as the same text: a session has one.
func FuzzSocketID(f *testing.F) {
	for _, seed := range []string{"1.2", "0.0", "18446744073709551615.18446744073709551615", "18446744073709551616.1", "01.2", "1.", ".1", "1.2.3", "-1.2", "", "1234"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := ParseSocketID(text)
		if same, also := ParseSocketID([]byte(text)); same != id || also != ok {
			t.Fatalf("%q: %v and %v", text, id, same)
		}
		if ok && (SocketID(id) != text || id.IsZero()) {
			t.Fatalf("%q is read as %v, which is %q", text, id, SocketID(id))
		}
	})
}
