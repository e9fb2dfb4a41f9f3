// Package engine knows the engines of the log by name: "memory", "file:DIR", "redis://HOST". It is the
// one place that does. Everybody else sees a log.Engine.
//
// A name is a scheme and, where the engine has a place, a colon and that. A new engine
// is a package beside server/log/memory, a row in the table here, and a field of
// Settings.
//
// Concurrency: plain functions and values; any goroutine.
package engine
