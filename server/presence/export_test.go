package presence

// Touched is how many clients wait to be compared.
func (t *Table) Touched() (n int) {
	t.report.mu.Lock()
	defer t.report.mu.Unlock()
	for _, clients := range t.report.touched {
		n += len(clients)
	}
	return n
}
