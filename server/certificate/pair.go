package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// maxFile is the size of a file that is read at most.
const maxFile = 1 << 20

// loadPair reads a pair. warnings are about what does not prevent its use.
func (c Config) loadPair(p Pair) (certificate *tls.Certificate, warnings []string, err error) {
	certText, err := read(p.Cert)
	if err != nil {
		return nil, nil, fmt.Errorf("%stls-cert %w", c.Prefix, err)
	}
	keyText, err := read(p.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("%stls-key %w", c.Prefix, err)
	}
	chain, err := parseChain(certText)
	if err != nil {
		return nil, nil, fmt.Errorf("%stls-cert %q: %w", c.Prefix, p.Cert, err)
	}
	if err := checkKey(p.Key, keyText); err != nil {
		return nil, nil, fmt.Errorf("%stls-key %q: %w", c.Prefix, p.Key, err)
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, nil, fmt.Errorf("%stls-key %q: %w", c.Prefix, p.Key, c.mismatch(p, chain, keyText, err))
	}
	for _, w := range slices.Concat(c.aboutCertificate(chain), c.aboutKey(p.Key)) {
		warnings = append(warnings, fmt.Sprintf("%stls-cert %q: %s", c.Prefix, p.Cert, w))
	}
	return &pair, warnings, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%q: the user that runs the server may not read it: change its group and mode, as in chgrp peal FILE; chmod 640 FILE", path)
	case err != nil:
		return nil, fmt.Errorf("%q: %w", path, reason(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("is larger than %d bytes, and not a PEM file of certificates or a key", maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, reason(err))
	}
	return b, nil
}

// reason removes the path from an error, where it stands already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// blocks are the PEM blocks of a file.
func blocks(text []byte) (all []*pem.Block) {
	for {
		b, rest := pem.Decode(text)
		if b == nil {
			return all
		}
		all, text = append(all, b), rest
	}
}

func isKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }

// isDER reports whether a file begins as ASN.1 does.
func isDER(text []byte) bool { return len(text) > 0 && text[0] == 0x30 }

func parseChain(text []byte) (chain []*x509.Certificate, err error) {
	all := blocks(text)
	for _, b := range all {
		if b.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it cannot be read: %w", len(chain)+1, err)
		}
		chain = append(chain, one)
	}
	switch {
	case len(chain) > 0:
		return chain, nil
	case slices.ContainsFunc(all, isKey):
		return nil, errors.New("has a private key and no certificate: the certificate and the key may be swapped")
	case isDER(text):
		return nil, errors.New("is not in PEM form: convert it with openssl x509 -inform der -in FILE -out FILE.pem")
	}
	return nil, errors.New("has no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
}

func checkKey(path string, text []byte) error {
	all := blocks(text)
	for _, b := range all {
		if isKey(b) && (strings.HasPrefix(b.Type, "ENCRYPTED") || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED")) {
			return fmt.Errorf("is encrypted, and Peal asks for no passphrase: decrypt it with (umask 077; openssl pkey -in %s -out FILE) and use that file", path)
		}
	}
	switch {
	case slices.ContainsFunc(all, isKey):
		return nil
	case len(all) > 0:
		return errors.New("has no private key: the certificate and the key may be swapped")
	case isDER(text):
		return errors.New("is not in PEM form: convert it with openssl pkey -inform der -in FILE -out FILE.pem")
	}
	return errors.New("has no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
}

// mismatch explains why certificate and key are no pair. err is the library's word, which
// has nothing of the key.
func (c Config) mismatch(p Pair, chain []*x509.Certificate, keyText []byte, err error) error {
	fits := func(one *x509.Certificate) bool {
		_, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Raw}), keyText)
		return err == nil
	}
	for i, one := range chain[1:] {
		if fits(one) {
			return fmt.Errorf("is the key of certificate %d in %s (%s): put that one first, and behind it those that signed it", i+2, p.Cert, name(one))
		}
	}
	if strings.Contains(err.Error(), "does not match") {
		return fmt.Errorf("is not the key of %s (%s): name the files of one pair, in the same order in %[3]stls-cert and %[3]stls-key", p.Cert, name(chain[0]), c.Prefix)
	}
	return fmt.Errorf("cannot be used: %w", err)
}

// name is a certificate's name for people.
func name(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	}
	return "certificate " + c.SerialNumber.Text(16)
}

// aboutCertificate warns of what clients will complain about.
func (c Config) aboutCertificate(chain []*x509.Certificate) (warnings []string) {
	leaf, now := chain[0], c.Now()
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		warnings = append(warnings, fmt.Sprintf("%s expired on %s: clients refuse it; replace the files", name(leaf), leaf.NotAfter.Format(time.DateOnly)))
	case left < soon(leaf):
		warnings = append(warnings, fmt.Sprintf("%s expires on %s: renew it", name(leaf), leaf.NotAfter.Format(time.DateOnly)))
	case now.Before(leaf.NotBefore):
		warnings = append(warnings, fmt.Sprintf("%s is valid from %s on only: clients refuse it until then; check the clock of this machine", name(leaf), leaf.NotBefore.Format(time.DateTime)))
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		warnings = append(warnings, fmt.Sprintf("%s has no names (subjectAltName): browsers refuse it, and no server name leads to it", name(leaf)))
	}
	if u := leaf.ExtKeyUsage; len(u) > 0 && !slices.Contains(u, x509.ExtKeyUsageServerAuth) && !slices.Contains(u, x509.ExtKeyUsageAny) {
		warnings = append(warnings, fmt.Sprintf("%s is not for servers (extended key usage): clients refuse it", name(leaf)))
	}
	for i, signer := range chain[1:] {
		if !bytes.Equal(chain[i].RawIssuer, signer.RawSubject) || chain[i].CheckSignatureFrom(signer) != nil {
			warnings = append(warnings, fmt.Sprintf("certificate %d (%s) did not sign certificate %d: the order is the server's own, then the one that signed it, and so on; clients may refuse another", i+2, name(signer), i+1))
			break
		}
	}
	return warnings
}

// aboutKey warns of a key that others can read.
func (c Config) aboutKey(path string) []string {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("every user of this machine can read its key %q: chmod o-r %[1]s, and replace the key if others have accounts here", path)}
}

// soon is how long before its end a certificate is warned of: 14 days, or a quarter of
// its life if that is less.
func soon(c *x509.Certificate) time.Duration {
	return min(14*24*time.Hour, c.NotAfter.Sub(c.NotBefore)/4)
}

// pool are the authorities of a PEM file.
func pool(path string) (*x509.CertPool, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	chain, err := parseChain(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	p := x509.NewCertPool()
	for _, one := range chain {
		p.AddCert(one)
	}
	return p, nil
}
