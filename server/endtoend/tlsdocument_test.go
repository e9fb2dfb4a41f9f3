package endtoend_test

import "testing"

// TestTLSDocument plays the commands of docs/tls.md that a machine without a domain can
// run: each must print what the page says.
func TestTLSDocument(t *testing.T) {
	tool(t, "curl")
	tool(t, "openssl")
	document{page: "docs/tls.md", serve: "peal serve --listen " + "127.0.0.1:8443 ", address: "127.0.0.1:8443", files: []string{"server."}, commands: 4}.
		play(t, func(p *peal) string { return p.addr })
}
