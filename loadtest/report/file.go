package report

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// WriteFile lets write fill a new file of that name; "-" is stdout, and "" none.
func WriteFile(name string, stdout io.Writer, write func(io.Writer) error) (err error) {
	switch name {
	case "":
		return nil
	case "-":
		return write(stdout)
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return write(file)
}
