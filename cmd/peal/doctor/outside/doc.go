// Package outside checks a Peal server as its clients reach it, by its URL and through
// every proxy on the way: whether WebSockets are upgraded, event streams arrive at
// once, quiet connections stay open, and headers and bodies pass unchanged.
//
// A [Visit] has the URL and what the visitor may do; Examine returns the findings. What
// goes wrong is named by its symptom, and each symptom has, for each kind of proxy,
// the settings that cure it (advice.go).
//
// Every wait has a limit. Nothing is published on a channel of others: without a
// channel the visitor makes up a name.
package outside
