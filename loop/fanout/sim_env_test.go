package fanout_test

import (
	"os"
	"strconv"
	"testing"
)

// numberFromEnv is the number in the environment variable name, 0 for none.
func numberFromEnv(t *testing.T, name string) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: must be a whole number", name, v)
	}
	return n
}
