package chaos

import (
	"fmt"
	"syscall"

	"peal/loadtest/child"
)

// Process is a server that is a program. Start and Stop are called in turns.
type Process struct {
	child.Program
	Dir string // of its log in files, "" for none; the copy is beside it
}

// Stop ends the server, by SIGKILL or by SIGTERM, and returns when it is gone.
// It is an error if the server stopped before, or has to be killed after SIGTERM,
// or exits with a status other than 0 after SIGTERM.
func (p *Process) Stop(kill bool) error {
	if kill {
		_, err := p.Program.Stop(syscall.SIGKILL)
		return err
	}
	killed, err := p.Program.Stop(syscall.SIGTERM)
	switch {
	case err != nil:
		return err
	case killed:
		return fmt.Errorf("%s did not end after SIGTERM and was killed", p.Name)
	case p.Exit() != nil:
		return fmt.Errorf("%s failed after SIGTERM: %w", p.Name, p.Exit())
	}
	return nil
}
