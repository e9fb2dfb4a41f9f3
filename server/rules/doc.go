// Package rules says what holds for which channels: how much history they
// keep, what becomes of slow consumers, whether clients may publish, how large
// a message and how many subscribers may be.
//
// Its nouns. A [Rule] is a pattern and what holds where it matches. A [Table]
// is rules in their order: the first whose pattern matches a channel's name is
// the channel's, and the last, which is made of the server's own settings,
// matches all. What a rule leaves open it has from that last one, never from
// another rule. In a pattern * stands for any characters, also none; nothing
// else is special.
//
// What it leaves to others: to read rules from a file (server/settings) and to
// follow them: history is server/hub's, publishing and subscribing are
// server/httpapi's, slow consumers are the loop's.
//
// A Table never changes: any goroutine may call its methods, none allocates.
package rules
