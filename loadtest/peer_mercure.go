package loadtest

import "net/url"

// mercure speaks the Mercure protocol (mercure.rocks/spec): an event stream of
// topics, and form posts. The token goes in a header line: "Authorization:
// Bearer …". The path is /.well-known/mercure.
type mercure struct{}

func (mercure) Open(path, channel string) string {
	return withQuery(path, "topic", url.QueryEscape(channel))
}

func (mercure) Subscribe(string) []string { return nil }

func (mercure) Publish(path, channel string, data []byte) (target, header string, body []byte) {
	form := url.Values{"topic": {channel}, "data": {string(data)}}
	return path, "Content-Type: application/x-www-form-urlencoded\r\n", []byte(form.Encode())
}

func (mercure) Decode(line []byte) Decoded { return Decoded{Data: line} }
