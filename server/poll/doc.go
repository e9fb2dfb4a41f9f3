// Package poll is what long polls are answered: whole HTTP/1.1 responses.
//
// Its noun is the answer, in two formats. JSON has the cursor first, so that
// even a reader who breaks off has it:
//
//	{"cursor":"1z141z4-1042","gap":[…],"presence":[…],"messages":[{…},{…}]}
//
// Raw is exactly one message's data as the body, for a shell script or a
// microcontroller; the rest is in headers: Peal-Cursor, Peal-Event, Peal-Gap.
// When there is nothing, JSON says so with an empty array and raw with 204.
//
// Each answer, also an empty one, carries a cursor advanced to what was
// covered: the next poll starts there.
//
// Parsing requests is httpapi's. All functions are pure: they extend the slice
// they are given, keep nothing, and any goroutine may call them.
package poll
