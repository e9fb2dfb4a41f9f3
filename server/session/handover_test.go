package session_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"testing"

	"peal/server/session"
)

func TestIDsAreHandedOver(t *testing.T) {
	old := session.Random()
	id, polls := old.Of(7), map[session.ID]bool{old.Fresh(): true, old.Fresh(): true}
	var b bytes.Buffer
	var h session.Handover
	if err := errors.Join(gob.NewEncoder(&b).Encode(old.HandOver()), gob.NewDecoder(&b).Decode(&h)); err != nil {
		t.Fatal(err)
	}
	next := session.Random()
	next.Take(h)
	if n, ok := next.Session(id); n != 7 || !ok || next.Of(7) != id {
		t.Errorf("the id of session 7 is that of %d, %v", n, ok)
	}
	if polls[next.Fresh()] {
		t.Error("an id of a poll is given again")
	}
}
