// Package ijson reads the JSON that clients send, as strictly as RFC 7493
// (I-JSON) wants it: UTF-8, no lone surrogates, no name twice in one object, at
// any depth. What two readers could take for two things is refused, and nothing
// is changed into something that they agree on.
//
// Its nouns: a [Reader] walks through one text, once, without building a tree; a
// [Value] is the text of one value in it. Names are compared byte by byte after
// their escapes were taken away, as RFC 8259 §8.3 has it.
//
// It is the only importer of the JSON parser, jsontext, whose defaults these
// are; docs/decisions/0007 compares it with others. Responses are not written
// here: see package publication.
//
// A Reader belongs to one goroutine and never blocks.
package ijson
