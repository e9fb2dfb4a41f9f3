package loadtest

import "net/url"

// nchan speaks to nginx with Nchan (nchan.io), whose subscribers and publishers
// have locations of their own; the channel is the argument id, as in its
// documentation's example (nchan_channel_id $arg_id).
type nchan struct{}

func (nchan) Open(path, channel string) string {
	return withQuery(path, "id", url.QueryEscape(channel))
}

func (nchan) Subscribe(string) []string { return nil }

func (nchan) Publish(path, channel string, data []byte) (target, header string, body []byte) {
	return withQuery(path, "id", url.QueryEscape(channel)), "Content-Type: text/plain\r\n", data
}

func (nchan) Decode(line []byte) Decoded { return Decoded{Data: line} }
