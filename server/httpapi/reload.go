package httpapi

import (
	"peal/server/auth"
	"peal/server/rules"
)

// Reload replaces the limits, except for HeadLimit, the rules, and who may talk to
// the server; the caller tells Deps.Origins of the last. It is called
// on the goroutine of the Front's loop. Connections keep what they have already.
func (f *Front) Reload(limits Limits, t *rules.Table, p *auth.Policy) {
	limits.HeadLimit = f.deps.HeadLimit
	f.deps.Limits = limits.WithDefaults()
	f.deps.Rules, f.deps.Policy = t, p
	f.names = newNames(t)
}
