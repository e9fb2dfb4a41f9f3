// Package rest is the HTTP API of the Pusher Channels protocol, without HTTP: it reads the
// bodies of requests and makes those of responses.
//
//   - Call: a POST of events on its way into the log. It verifies the signature, reads the
//     body, has package permit decide, and publishes by package publish.
//   - Event: one of its events; Wish: the numbers that a request asks for (info).
//   - View: what the API says about channels and their members.
//   - Grant: what an app may do, as a backend that is limited to its namespace.
//
// Which path a request has, and how its response is sent, is for package httpapi.
//
// A Call belongs to the goroutine that runs it, a loop's or a worker's. Any goroutine may
// use a View.
package rest
