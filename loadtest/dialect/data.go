package dialect

import (
	"encoding/csv"
	"fmt"
	"os"
	"regexp"
)

var columnName = regexp.MustCompile(`^[A-Za-z_][\w-]*$`)

// ReadData adds the rows of a CSV file, whose first row names the columns.
func (d Data) ReadData(file string) (Data, error) {
	f, err := os.Open(file)
	if err != nil {
		return d, fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return d, fmt.Errorf("data: %s: %w", file, err)
	}
	if len(rows) < 2 {
		return d, fmt.Errorf("data: %s: needs a row with the names of the columns, and one with values", file)
	}
	for _, name := range rows[0] {
		if !columnName.MatchString(name) {
			return d, fmt.Errorf("data: %s: the first row must have the names of the columns, of letters, digits, _ and -: %q", file, name)
		}
	}
	d.Columns, d.Rows = rows[0], rows[1:]
	return d, nil
}
