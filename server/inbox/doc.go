// Package inbox moves publications that programs have left in the store of the log into
// the log. A worker that cannot call Peal within its own transaction adds an entry to
// that queue in the transaction; docs/log-format.md has the form.
//
// One node moves at a time, by a lease. An entry is appended with an idempotency key, its
// own or one that is made of its id, and is removed afterwards. A node that ends, or loses
// its lease, between the two leaves the entry to the next one, for which the log knows the key:
// it is published once. An entry that cannot be published is set aside, logged and
// counted, and the next one follows.
//
// A Mover belongs to the goroutine that runs it; its Stats are for all.
package inbox
