package ring

// Gap says that messages of a channel after From, up to To, may be gone.
type Gap struct {
	Channel string
	From    uint64 // position of the client; 0 with Foreign
	To      uint64 // highest sequence that was dropped; the next one delivered is greater
	Foreign bool   // the cursor was of another epoch, ahead of the head or unreadable: From means nothing
	Slow    bool   // passed over because the client is slow and its channel gives such clients the newest alone
	Skipped int    // Slow: how many of them were still retained
}
