package gate

import (
	"os"
	"testing"

	"peal/loadtest"
)

func TestMain(m *testing.M) {
	if loadtest.IsWorker() {
		os.Exit(loadtest.WorkerMain(os.Stdin, os.Stdout))
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // for the workers
	os.Exit(m.Run())
}
