package machine

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"peal/cmd/peal/doctor"
)

// soon is when a certificate has missed its renewal.
const soon = 14 * 24 * time.Hour

// certificates checks when those in files end. Whether they are valid for a name is
// for a client to see: peal doctor --url.
func (m *Machine) certificates() (all []doctor.Finding) {
	files := m.Config.TLS.Certs
	if c := m.Config.AdminTLS.Cert; c != "" {
		files = append(files[:len(files):len(files)], c)
	}
	for _, f := range files {
		all = append(all, m.certificate(m.whole(f)))
	}
	return all
}

func (m *Machine) certificate(p string) doctor.Finding {
	const check, why = "certificate", "after that no client connects"
	b, err := fs.ReadFile(m.Files, strings.TrimPrefix(p, "/"))
	if err != nil {
		return doctor.Skip(check, "%v", err)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return doctor.Fail(check, fmt.Sprintf("%s: %v", p, err), "the server does not start", "the file that your authority gave you, in PEM")
		}
		left := time.Until(c.NotAfter)
		value := fmt.Sprintf("%s ends in %d days (%s)", p, int(left.Hours()/24), c.NotAfter.Format(time.DateOnly))
		switch {
		case left <= 0:
			return doctor.Fail(check, fmt.Sprintf("%s has ended on %s", p, c.NotAfter.Format(time.DateOnly)), "no client connects", "certbot renew, or what else renews it; the server reads the new file by itself")
		case left < soon:
			return doctor.Warn(check, value, why, "certbot renew --dry-run  (shows why it was not renewed)")
		}
		return doctor.Fine(check, "%s", value)
	}
	return doctor.Fail(check, p+" has no certificate in PEM", "the server does not start", "the file that your authority gave you, in PEM")
}
