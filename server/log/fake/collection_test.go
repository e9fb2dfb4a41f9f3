package fake_test

import (
	"testing"
	"time"

	"peal/server/log/conform"
	"peal/server/log/fake"
)

func TestCollections(t *testing.T) {
	s := fake.New(time.Now)
	conform.Collections(t, s.Open(), s.Open())
}
