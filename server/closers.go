package server

import (
	"errors"
	"fmt"
)

// closers end what was begun, the last first.
type closers []closer

// closer ends one thing. what says what that is, as in "close the log".
type closer struct {
	what  string
	close func() error
}

func (c *closers) add(what string, close func() error) { *c = append(*c, closer{what, close}) }

// closeAfter closes all, and returns err, why they are closed, together with what went
// wrong in it. Called again it has nothing to do.
func (c *closers) closeAfter(err error) error {
	all := *c
	*c = nil
	for i := len(all) - 1; i >= 0; i-- {
		if closeErr := all[i].close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", all[i].what, closeErr))
		}
	}
	return err
}
