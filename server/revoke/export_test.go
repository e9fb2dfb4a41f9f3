package revoke

import "time"

// Elapsed gives t another source of the time that has elapsed than its clock.
func (t *Table) Elapsed(f func() time.Duration) { t.elapsed = f }
