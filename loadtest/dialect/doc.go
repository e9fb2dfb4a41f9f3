// Package dialect describes how other push servers are spoken to. A dialect is data:
// a YAML file, or the flags of peal load with the same names. Compile makes a Peer of
// it, with which the load test opens connections, reads messages and publishes.
//
// Its nouns:
//
//   - A Dialect is the description. The ones of known servers are the *.yaml files
//     here; examples has some of applications.
//   - A Template is a text with placeholders, like {channel}.
//   - A Pattern recognises a message: a text, or a regular expression.
//   - An Extract finds the published payload in a message: by a JSON path, or by a
//     regular expression.
//   - A Peer is a compiled Dialect.
//
// What is no template is in Go: centrifugo.go resumes, pusher.go signs.
//
// Concurrency: a Peer belongs to one goroutine, a Dialect is not changed after it was
// read. The package does no I/O but to read files.
package dialect
