package secure_test

import (
	"os"
	"testing"
	"time"

	"peal/scripts/leak"
)

// patience is how long anything may take on a busy machine; a test that passes does not
// take it.
const patience = time.Minute

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
