package gate

import (
	"os"
	"testing"

	"peal/loadtest"
	"peal/loadtest/child"
)

func TestMain(m *testing.M) {
	child.Play(loadtest.Worker)
	os.Exit(m.Run())
}
