// Package ijson reads the JSON that clients send, as strictly as RFC 7493
// (I-JSON) requires: UTF-8, no lone surrogates, no name twice in one object, at
// any depth. It refuses text that two parsers could read differently, and changes
// nothing.
//
// Its nouns: a [Reader] reads one text, once, without building a tree; a [Value]
// is the text of one value in it. Names are compared byte by byte after unescaping
// (RFC 8259 §8.3).
//
// The scanner is this package's own: one pass, without copies and without garbage.
// When it finds a fault, jsontext reads the text again up to there and gives the reason
// and its position; no other package imports it. In the tests jsontext judges every
// call. docs/decisions/0007 has the reasons. Package publication writes the responses.
//
// A Reader belongs to one goroutine and never blocks.
package ijson
