package main

import (
	"os"
	"path/filepath"

	"peal/loadtest"
	"peal/loadtest/chaos"
)

// encrypt gives the server a certificate, whose files are in dir, and has the clients
// trust it.
func (o *options) encrypt(p *chaos.Process) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "peal-chaos-tls-"); err != nil {
		return "", err
	}
	cert, err := loadtest.WriteCertificate(dir)
	o.TLS = &loadtest.TLS{CA: cert}
	p.Args = append(p.Args, "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	return dir, err
}
