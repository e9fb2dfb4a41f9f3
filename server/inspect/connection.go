package inspect

// Connection is one connection at one moment.
type Connection struct {
	Session   string `json:"session"`           // its id, as its client knows it
	Number    string `json:"number"`            // its session number, as the server's log has it
	Earlier   string `json:"earlier,omitempty"` // id of an earlier session that it goes by
	Loop      int    `json:"loop"`
	Transport string `json:"transport"` // websocket, sse, poll, http
	State     string `json:"state"`
	Dialect   string `json:"dialect,omitempty"` // of streams and polls
	Address   string `json:"address"`           // of the client, with its port; "unix socket"
	Proxy     string `json:"proxy,omitempty"`   // trusted proxy that named the address, of a connection that is no stream
	TLS       bool   `json:"tls"`
	Trusted   bool   `json:"trusted_proxy"` // the address is that of a trusted proxy

	Kind    string `json:"kind"` // anonymous, user, backend
	Client  string `json:"client,omitempty"`
	Info    string `json:"info,omitempty"`
	Token   string `json:"token_id,omitempty"`   // jti
	Expires int64  `json:"expires_ms,omitempty"` // of the token, since 1970
	Backend string `json:"backend_user,omitempty"`

	Age     *int64 `json:"age_s"`             // whole seconds, at most 2 % too much; null: not known
	Silent  int64  `json:"silent_s"`          // since the last input
	Missed  int    `json:"missed_heartbeats"` // one after the other
	Replies int    `json:"replies_due"`

	Channels []string `json:"channels"` // sorted; a list has the first 16 only
	Width    int      `json:"channel_count"`

	Cursor   string `json:"cursor,omitempty"` // everything up to here was accepted by its socket
	Sequence uint64 `json:"sequence"`
	Newest   uint64 `json:"newest"` // sequence of the newest message for it
	Behind   uint64 `json:"behind"` // newest - sequence, 0 if it has all there is: not less than the messages that it lacks
	CaughtUp bool   `json:"caught_up"`
	Stalled  bool   `json:"stalled"` // its socket is full
	Slow     bool   `json:"slow"`    // it was up to date, and then its socket was full
	Waiting  int    `json:"waiting_bytes"`
	Input    int    `json:"input_bytes"` // that were read and not used yet

	Traffic *Traffic `json:"tcp"` // null: the kernel counts nothing for it
	Gap     *Gap     `json:"last_gap"`
	End     *End     `json:"last_end,omitempty"` // the newest that is remembered of a connection of the same client or address
}

// Traffic is what the kernel has counted for a TCP connection.
type Traffic struct {
	Sent          uint64 `json:"sent_bytes"`
	Acknowledged  uint64 `json:"acknowledged_bytes"`
	Received      uint64 `json:"received_bytes"`
	Unsent        int    `json:"unsent_bytes"` // that wait in the kernel
	Retransmitted int    `json:"retransmitted_segments"`
	RoundTrip     int64  `json:"round_trip_us"`
	Blocked       int64  `json:"window_closed_ms"` // how long the client's window was closed, in all
}

// Gap is the newest gap of a connection that its loop remembers.
type Gap struct {
	Ago    int64  `json:"ago_s"`
	Reason string `json:"reason"` // history, unknown_cursor, slow_consumer
	Cursor string `json:"cursor"` // what is gone ends here
}

// End is how a stream or a waiting poll has ended.
type End struct {
	Session   string `json:"session"`
	Number    string `json:"number"`
	Transport string `json:"transport"`
	Dialect   string `json:"dialect,omitempty"`
	Address   string `json:"address"`
	Client    string `json:"client,omitempty"`
	Ago       int64  `json:"ago_s"`
	Code      int    `json:"code,omitempty"` // of the close frame
	Reason    string `json:"reason"`
}

// Page is a part of a list of connections.
type Page struct {
	Connections []Connection `json:"connections"`
	Next        string       `json:"next,omitempty"` // the value of after for the next page; "" with the last one
}

// Ends is the ends that are remembered, the newest first.
type Ends struct {
	Ends []End `json:"ends"`
}

// Gone is the response about a connection that is not open any more.
type Gone struct {
	Session string `json:"session"`
	Open    bool   `json:"open"` // false
	End     *End   `json:"last_end"`
}
