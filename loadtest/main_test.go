package loadtest_test

import (
	"os"
	"testing"

	"peal/internal/leak"
	"peal/loadtest"
	"peal/loadtest/child"
)

func TestMain(m *testing.M) {
	child.Play(loadtest.Worker)
	os.Exit(leak.Main(m))
}
