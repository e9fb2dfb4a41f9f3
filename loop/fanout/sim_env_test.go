package fanout_test

import (
	"os"
	"strconv"
	"testing"
)

// seedFromEnv is the seed to replay, 0 for none.
func seedFromEnv(t *testing.T) uint64 {
	v := os.Getenv("PEAL_SEED")
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("PEAL_SEED=%q: must be a whole number", v)
	}
	return n
}
