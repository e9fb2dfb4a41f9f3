// Package ijson reads the JSON that clients send, as strictly as RFC 7493
// (I-JSON) requires: UTF-8, no lone surrogates, no name twice in one object, at
// any depth. It refuses text that two parsers could read differently, and changes
// nothing.
//
// Its nouns: a [Reader] reads one text, once, without building a tree; a [Value]
// is the text of one value in it. Names are compared byte by byte after unescaping
// (RFC 8259 §8.3).
//
// It is the only importer of the JSON parser, jsontext, which is strict by
// default; docs/decisions/0007 compares it with others. Package publication writes
// the responses.
//
// A Reader belongs to one goroutine and never blocks.
package ijson
