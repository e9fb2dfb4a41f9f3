package httpapi

import (
	_ "embed"

	"peal/loop"
)

// The browser client, the same with presence, and what shares a connection
// between tabs. All are built from clients/js, whose tests say when they are out of step.
var (
	//go:embed page/peal.js
	clientJS []byte

	//go:embed page/peal-presence.js
	presenceJS []byte

	//go:embed page/peal-share.js
	shareJS []byte
)

const (
	clientPath   = "/peal.js"
	presencePath = "/peal-presence.js"
	sharePath    = "/peal-share.js"
)

// scriptHead: a page may load the script from here whatever its origin, and has
// a new one ten minutes after the server has.
const scriptHead = "Cache-Control: public, max-age=600\r\n" +
	"Cross-Origin-Resource-Policy: cross-origin\r\n" +
	"X-Content-Type-Options: nosniff\r\n"

func (f *Front) serveScript(c *loop.Call, path string) {
	body := clientJS
	switch path {
	case presencePath:
		body = presenceJS
	case sharePath:
		body = shareJS
	}
	f.reply(c, 200, "text/javascript; charset=utf-8", scriptHead, body)
}
