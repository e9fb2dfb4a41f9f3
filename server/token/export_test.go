package token

import "context"

// RefreshDue is what Run does at intervals.
func (v *Verifier) RefreshDue(ctx context.Context) { v.refreshDue(ctx) }
