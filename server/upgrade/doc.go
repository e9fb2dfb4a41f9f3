// Package upgrade moves a running server from one process to the next one, without an
// end of its connections. It has the conversation of the two processes; what passes in it
// is made and taken by others, behind the interfaces Old and New.
//
//	old                                      new
//	 │  manifest, listeners                   │
//	 ├───────────────────────────────────────▶│ Accept: can I read this? Is my configuration good?
//	 │◀───────────────────────────────────────┤ ready, or refused
//	 │  parts: what can be taken meanwhile    │
//	 ├───────────────────────────────────────▶│ Take
//	 │ Freeze                                 │
//	 │  parts: the rest; connections          │
//	 ├───────────────────────────────────────▶│ Take, Adopt
//	 │  totals                                │
//	 ├───────────────────────────────────────▶│ Prepare: all is here, and nothing runs
//	 │◀───────────────────────────────────────┤ prepared
//	 │  commit                                │
//	 ├───────────────────────────────────────▶│ Begin
//	 │ Leave                                  │
//
// Until the commit the old process can go on as if nothing had happened (Thaw), and the
// new one has neither read, written, appended nor acknowledged anything. It ends if the
// commit does not come. After the commit there is no way back: the old process leaves. A
// process that dies before the commit leaves the other one as it was; one that dies
// afterwards takes the connections with it.
//
// Frames have a kind, a length and the descriptors that belong to them; the values inside
// are gob, so that a field may be added. What changes the meaning of a field is a new Format.
//
// A link is used by one goroutine. The package is a leaf.
package upgrade
