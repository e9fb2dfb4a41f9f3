package httpapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"strings"
	"sync"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

//go:embed page/page.js
var pageJS string

// page is what a browser sees at /: one file that loads nothing else. Its
// headers allow just this style and these two scripts, by their hashes, and
// connections back to this server. It is made once, at the first Front.
var page = sync.OnceValue(func() *asset {
	body := strings.NewReplacer("/*style*/", pageCSS, "/*script*/", pageJS, "/*client*/", string(clientJS)).Replace(pageHTML)
	a := newAsset("text/html; charset=utf-8",
		"Content-Security-Policy: default-src 'none'; style-src "+sourceHash(pageCSS)+
			"; script-src "+sourceHash(pageJS)+" "+sourceHash(string(clientJS))+"; connect-src 'self'; img-src data:"+
			"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"+
			"Cache-Control: no-cache\r\n"+
			"X-Content-Type-Options: nosniff\r\n"+
			"Referrer-Policy: no-referrer\r\n", []byte(body))
	return &a
})

// sourceHash names an inline style or script in a policy (CSP Level 3, §2.3.1).
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
