package loop_test

import (
	"os"
	"testing"

	"peal/scripts/leak"
)

// childEnv makes the test binary a server of its own: see TestDescriptorExhaustion.
const childEnv = "PEAL_LOOP_TEST_CHILD"

// openDescriptors counts the descriptors of this process.
var openDescriptors = leak.Descriptors

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(exhaustedServer())
	}
	if words := os.Getenv(shakerEnv); words != "" {
		os.Exit(shake(words))
	}
	os.Exit(leak.Main(m))
}
