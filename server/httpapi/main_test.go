package httpapi_test

import (
	"os"
	"testing"

	"peal/scripts/leak"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/log/memory"
)

// What the fakes stand for.
var (
	_ httpapi.Publisher = (*memory.Log)(nil)
	_ httpapi.Directory = (*hub.Hub)(nil)
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
