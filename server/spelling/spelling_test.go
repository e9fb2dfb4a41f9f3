package spelling_test

import (
	"testing"

	"peal/server/spelling"
)

func TestNearest(t *testing.T) {
	known := []string{"drain", "history-age", "history-bytes"}
	for name, want := range map[string]string{"drian": "drain", "history_age": "history-age", "historybytes": "history-bytes", "zzzzzzzz": "", "": ""} {
		if got := spelling.Nearest(name, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}
