package httpapi

import (
	_ "embed"
	"sync"
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

// scripts are made once, at the first Front.
var scripts = sync.OnceValue(func() map[string]*asset {
	all := map[string]*asset{}
	for path, body := range map[string][]byte{clientPath: clientJS, presencePath: presenceJS, sharePath: shareJS} {
		a := newAsset("text/javascript; charset=utf-8", scriptHead, body)
		all[path] = &a
	}
	return all
})

// pages serves the files of the program.
type pages struct {
	front   *asset
	scripts map[string]*asset // by path
}

func newPages() *pages { return &pages{page(), scripts()} }

func (p *pages) page(x *exchange)   { x.serveAsset(p.front) }
func (p *pages) script(x *exchange) { x.serveAsset(p.scripts[x.route.pattern]) }
