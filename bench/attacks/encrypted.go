package attacks

import (
	"path/filepath"

	"peal/bench"
	"peal/loadtest"
	"peal/loadtest/child"
)

// encrypted is a server that speaks TLS with hostile clients, at the address that it
// returns, and cleartext with honest ones.
func encrypted(binary, dir string, further []string) (*bench.Command, string, error) {
	if _, err := loadtest.WriteCertificate(dir); err != nil {
		return nil, "", err
	}
	ports, err := child.FreePorts()
	if err != nil {
		return nil, "", err
	}
	at := child.Loopback(ports.Port)
	args := []string{binary, "serve", "--listen", at, "--listen-plain", "127.0.0.1:{port}", "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"), "--loops", "{loops}"}
	return &bench.Command{Label: "peal", Args: append(args, further...)}, at, nil
}
