package loadtest_test

import (
	"os"
	"testing"

	"peal/loadtest"
	"peal/loadtest/child"
	"peal/scripts/leak"
)

func TestMain(m *testing.M) {
	child.Play(loadtest.Worker)
	os.Exit(leak.Main(m))
}
