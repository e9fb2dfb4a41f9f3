package dialect

// Rows is the number of rows, with compressed forms.
func (t *Table) Rows() int { return len(t.rows) }
