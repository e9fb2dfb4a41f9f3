package xhr

// Receives reports whether the connection of that number is the receiver of a session, which
// ends with this process.
func (t *Sessions) Receives(number uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.receivers[number] != nil
}
