package httpapi

import "peal/server/rules"

// Reload replaces the limits, except for HeadLimit, and the rules. It is called
// on the goroutine of the Front's loop. Connections keep what they have already.
func (f *Front) Reload(limits Limits, t *rules.Table) {
	limits.HeadLimit = f.deps.HeadLimit
	f.deps.Limits = limits.WithDefaults()
	f.deps.Rules = t
	f.names = newNames(t)
}
