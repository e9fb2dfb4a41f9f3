// Package poll encodes the responses to long polls: whole HTTP/1.1 responses.
//
// Its noun is the answer to a poll, in two formats. JSON has the cursor first, so
// that even a client that stops reading early has it:
//
//	{"cursor":"1z141z4-1042","gap":[…],"presence":[…],"messages":[{…},{…}]}
//
// Raw is exactly one message's data as the body, for a shell script or a
// microcontroller; the rest is in headers: Peal-Cursor, Peal-Event, Peal-Gap.
// Without messages, JSON has an empty array and raw is 204.
//
// Each answer, also an empty one, has a cursor that covers everything up to it: the
// next poll starts there.
//
// Package httpapi parses the requests. All functions are pure: they extend the slice
// they are given, keep nothing, and any goroutine may call them.
package poll
