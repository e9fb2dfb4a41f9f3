package chaos

import (
	"os"
	"testing"

	"peal/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
