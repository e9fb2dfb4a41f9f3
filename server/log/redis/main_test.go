package redis_test

import (
	"os"
	"testing"

	"peal/scripts/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
