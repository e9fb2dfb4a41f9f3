package upgrade

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// Variable names the descriptor of the link in the environment of the new process.
const Variable = "PEAL_UPGRADE_FD"

// Pass has the process that c starts inherit its end of a Pair, and returns the variable that
// its environment needs.
func Pass(c *exec.Cmd, end *os.File) (variable string) {
	c.ExtraFiles = append(c.ExtraFiles, end)
	return Variable + "=" + strconv.Itoa(2+len(c.ExtraFiles))
}

// Inherited returns the link to the process that has started this one for an upgrade, nil if
// none has. It removes the variable: call it once, at the start.
func Inherited() (*Link, error) {
	text := os.Getenv(Variable)
	os.Unsetenv(Variable)
	if text == "" {
		return nil, nil
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= 2 {
		return nil, fmt.Errorf("%s is %q: must be the number of a descriptor; the server sets it", Variable, text)
	}
	unix.CloseOnExec(fd)
	return NewLink(os.NewFile(uintptr(fd), Variable))
}
