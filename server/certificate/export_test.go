package certificate

// Look has the files looked at, as Run does every few seconds.
func (s *Store) Look() { s.look() }

// Rotate begins a new key of session tickets, as Run does by time.
func (s *Store) Rotate() { s.rotate() }

// WarnOfExpiry warns as Run does each day.
func (s *Store) WarnOfExpiry() { s.warnOfExpiry() }

// TicketKeys is how many keys of session tickets are accepted.
const TicketKeys = ticketKeys

// MakeDir is what makes the directory of ACME.
var MakeDir = makeDir
