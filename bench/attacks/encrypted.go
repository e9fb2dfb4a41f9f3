package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"peal/bench"
	"peal/loadtest/child"
)

// encrypted is a server that speaks TLS with hostile clients, at the address that it
// returns, and cleartext with honest ones.
func encrypted(binary, dir string, further []string) (*bench.Command, string, error) {
	certificate, err := selfSigned(dir)
	if err != nil {
		return nil, "", err
	}
	ports, err := child.FreePorts()
	if err != nil {
		return nil, "", err
	}
	at := child.Loopback(ports.Port)
	args := []string{binary, "serve", "--listen", at, "--listen-plain", "127.0.0.1:{port}", "--tls-cert", certificate, "--tls-key", certificate, "--loops", "{loops}"}
	return &bench.Command{Label: "peal", Args: append(args, further...)}, at, nil
}

// selfSigned writes a certificate with its key into a file.
func selfSigned(dir string) (path string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	path = filepath.Join(dir, "server.pem")
	return path, os.WriteFile(path, text, 0o600)
}
