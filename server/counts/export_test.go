package counts

// Waiting is how many channels are to be reported again, because a report was refused.
func (t *Table) Waiting() int {
	t.failing.Lock()
	defer t.failing.Unlock()
	return len(t.failed)
}
