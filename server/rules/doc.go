// Package rules has the limits and policies of channels: how much history they
// keep, the policy for slow consumers, whether clients may publish, the size of a
// message and the number of subscribers.
//
// Its nouns. A [Rule] is a pattern (server/pattern) with the limits of the channels that it
// matches. A [Table] is an ordered list of rules: the first whose pattern matches a
// channel's name applies to the channel, and the last, which has the server's own
// settings, matches all. A rule inherits every field that it omits from that last
// one, never from another rule.
//
// What it leaves to others: reading rules from a file (server/settings) and
// enforcing them: server/hub for history, server/permit for publishing and
// subscribing, the loop for slow consumers.
//
// A Table never changes: any goroutine may call its methods, none allocates.
package rules
