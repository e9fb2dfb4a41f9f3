package publish

import (
	"errors"
	"fmt"
	"testing"

	"peal/server/log"
	"peal/server/refusal"
)

// A refusal says whether the message may be in the log: of what a closed log had taken and not appended it
// certainly is not.
func TestLosses(t *testing.T) {
	for err, want := range map[error]*refusal.Error{
		log.ErrClosed:         refusal.ErrDraining,
		log.ErrStorage:        refusal.ErrLogFull,
		log.ErrUnavailable:    refusal.ErrUnanswered,
		log.ErrFull:           refusal.ErrOverloaded,
		errors.New("unknown"): refusal.ErrLost,
	} {
		if got := (&Target{}).lossOf(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
