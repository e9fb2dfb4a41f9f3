package loadtest

import (
	"net/url"
	"strings"
)

// mercure speaks the Mercure protocol (mercure.rocks/spec): an event stream of
// topics, and form posts. The token goes in a header line: "Authorization:
// Bearer …". The path is /.well-known/mercure; one with an empty match=, as of
// ?match, asks by that parameter: hubs from 1.0 on take no topic=.
type mercure struct{}

func (mercure) Open(path, channel string) string {
	channel = url.QueryEscape(channel)
	if strings.HasSuffix(path, "match=") || strings.Contains(path, "match=&") {
		return strings.Replace(path, "match=", "match="+channel, 1)
	}
	return withQuery(path, "topic", channel)
}

func (mercure) Subscribe(string) []string { return nil }

func (mercure) Publish(path, channel string, data []byte) (target, header string, body []byte) {
	form := url.Values{"topic": {channel}, "data": {string(data)}}
	return path, "Content-Type: application/x-www-form-urlencoded\r\n", []byte(form.Encode())
}

func (mercure) Decode(line []byte) Decoded { return Decoded{Data: line} }
