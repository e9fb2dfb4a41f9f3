package revoke

import "peal/server/grant"

// Order names the tokens of one revocation. It is not changed once it is given.
type Order struct {
	Subjects map[string]struct{} // their tokens, those that were issued at Before or earlier
	Before   int64               // seconds since 1970; of Subjects only
	IDs      map[string]struct{} // tokens by their jti, whenever they were issued
}

// Len is how many names the order has.
func (o *Order) Len() int { return len(o.Subjects) + len(o.IDs) }

// Covers reports whether g is of a token that the order revokes. g may be nil. It does
// not allocate.
func (o *Order) Covers(g *grant.Grant) bool {
	if g == nil || g.Kind != grant.User {
		return false
	}
	if _, ok := o.Subjects[g.Subject]; ok && g.Issued <= o.Before {
		return true
	}
	_, ok := o.IDs[g.ID]
	return ok && g.ID != ""
}
