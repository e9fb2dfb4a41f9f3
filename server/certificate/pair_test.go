package certificate_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"peal/scripts/testca"
	"peal/server/certificate"
)

func TestFaultsSayWhatToChange(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	middle := ca.Intermediate("Middle")
	good := pair(ca, dir, "good", testca.Leaf{Names: []string{"a.example"}})
	other := pair(ca, dir, "other", testca.Leaf{Names: []string{"b.example"}})
	cert, key := ca.Sign(testca.Leaf{Names: []string{"c.example"}, Signer: middle})
	leaf := bytes.TrimSuffix(cert, middle.PEM)
	block, _ := pem.Decode(leaf)
	private, _ := pem.Decode(key)
	wrong := write(t, in(dir, "wrong.pem"), join(middle.PEM, leaf))
	keyOfIt := write(t, in(dir, "c.key"), key)
	der, derKey := write(t, in(dir, "der"), block.Bytes), write(t, in(dir, "derkey"), private.Bytes)
	empty, text := write(t, in(dir, "empty"), nil), write(t, in(dir, "text"), []byte("hello\n"))
	broken := write(t, in(dir, "broken.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes[:100]}))
	brokenKey := write(t, in(dir, "broken.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private.Bytes[:20]}))
	large := write(t, in(dir, "large"), bytes.Repeat([]byte("x"), 2<<20))
	//lint:ignore SA1019 old keys are encrypted so
	old, err := x509.EncryptPEMBlock(bytes.NewReader(make([]byte, 64)), "EC PRIVATE KEY", private.Bytes, []byte("x"), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := write(t, in(dir, "encrypted"), pem.EncodeToMemory(old))
	encrypted8 := write(t, in(dir, "encrypted8"), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}))
	for _, c := range []struct {
		cert, key string
		says      []string
	}{
		{in(dir, "none"), good.Key, []string{`tls-cert "` + in(dir, "none") + `": no such file`}},
		{good.Cert, in(dir, "none"), []string{"tls-key", "no such file"}},
		{dir, good.Key, []string{"is a directory"}},
		{good.Cert, other.Key, []string{"is not the key of " + good.Cert + " (a.example)", "same order in tls-cert and tls-key"}},
		{good.Key, good.Cert, []string{"may be swapped"}},
		{good.Cert, good.Cert, []string{"has no private key", "swapped"}},
		{wrong, keyOfIt, []string{"is the key of certificate 2", "(c.example)", "put that one first"}},
		{der, keyOfIt, []string{"openssl x509 -inform der"}},
		{good.Cert, derKey, []string{"openssl pkey -inform der"}},
		{empty, good.Key, []string{"has no certificate in PEM form"}},
		{good.Cert, empty, []string{"has no private key in PEM form"}},
		{text, good.Key, []string{"has no certificate in PEM form"}},
		{broken, good.Key, []string{"certificate 1 in it cannot be read"}},
		{good.Cert, brokenKey, []string{"cannot be used"}},
		{large, good.Key, []string{"larger than"}},
		{good.Cert, encrypted, []string{"is encrypted", "openssl pkey -in " + encrypted}},
		{good.Cert, encrypted8, []string{"is encrypted"}},
	} {
		config := certificate.Config{Pairs: []certificate.Pair{{Cert: c.cert, Key: c.key}}, Log: new(lines).logger()}
		err := config.Validate()
		_, other := certificate.Open(config)
		if err == nil || other == nil {
			t.Errorf("%s and %s are accepted: %v, %v", c.cert, c.key, err, other)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s and %s: %v\nwant an error with %q", c.cert, c.key, err, part)
			}
		}
		if strings.Contains(err.Error(), "BEGIN") && !strings.Contains(err.Error(), "-----BEGIN CERTIFICATE-----)") && !strings.Contains(err.Error(), "-----BEGIN PRIVATE KEY-----)") {
			t.Errorf("the error has content of a file: %v", err)
		}
	}
	// All at once, with the names of the settings that they come from.
	all := certificate.Config{Prefix: "admin-", Pairs: []certificate.Pair{{Cert: empty, Key: good.Key}, {Cert: good.Cert, Key: empty}}, ClientCA: text}.Validate()
	for _, part := range []string{"admin-tls-cert ", "admin-tls-key ", "admin-client-ca "} {
		if all == nil || !strings.Contains(all.Error(), part) {
			t.Errorf("%v, want an error with %q", all, part)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read all files")
	}
	ca, dir := testca.New(t, "CA"), t.TempDir()
	p := pair(ca, dir, "a", testca.Leaf{})
	if err := os.Chmod(p.Key, 0); err != nil {
		t.Fatal(err)
	}
	if err := (certificate.Config{Pairs: []certificate.Pair{p}}).Validate(); err == nil || !strings.Contains(err.Error(), "chmod 640") {
		t.Errorf("%v, want an error with what to change", err)
	}
}

func TestWarnings(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	middle := ca.Intermediate("Middle")
	stranger := testca.New(t, "Stranger")
	cert, key := ca.Sign(testca.Leaf{Names: []string{"a.example"}, Signer: middle})
	shuffled := certificate.Pair{Cert: write(t, in(dir, "s.pem"), join(bytes.TrimSuffix(cert, middle.PEM), stranger.PEM)), Key: write(t, in(dir, "s.key"), key)}
	readable := pair(ca, dir, "r", testca.Leaf{})
	if err := os.Chmod(readable.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		pair certificate.Pair
		says string // "" for nothing
	}{
		{pair(ca, dir, "good", testca.Leaf{}), ""},
		{pair(ca, dir, "chain", testca.Leaf{Signer: middle}), ""},
		{pair(ca, dir, "expired", testca.Leaf{From: -90 * day, To: -day}), "expired on"},
		{pair(ca, dir, "soon", testca.Leaf{From: -77 * day, To: 13 * day}), "expires on"},
		{pair(ca, dir, "notyetsoon", testca.Leaf{From: -75 * day, To: 15 * day}), ""},
		{pair(ca, dir, "short", testca.Leaf{From: -1 * day, To: 5 * day}), ""}, // six days are its whole life
		{pair(ca, dir, "shortsoon", testca.Leaf{From: -5 * day, To: 1 * day}), "expires on"},
		{pair(ca, dir, "future", testca.Leaf{From: day, To: 90 * day}), "check the clock"},
		{pair(ca, dir, "nameless", testca.Leaf{Names: []string{}}), "has no names"},
		{pair(ca, dir, "client", testca.Leaf{Client: true}), "is not for servers"},
		{shuffled, "certificate 2 (Stranger) did not sign certificate 1"},
		{readable, "chmod o-r"},
	} {
		_, said := open(t, certificate.Config{Pairs: []certificate.Pair{c.pair}})
		if n := said.count("level=WARN"); n != 0 && c.says == "" || n != 1 && c.says != "" || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: the log has %q, want one warning with %q", c.pair.Cert, said, c.says)
		}
	}
}

func TestExpiryIsWarnedOfEachDay(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	now := time.Now()
	s, said := open(t, certificate.Config{Pairs: []certificate.Pair{pair(ca, dir, "a", testca.Leaf{Names: []string{"a.example"}})}, Now: func() time.Time { return now }})
	s.WarnOfExpiry()
	if said.String() != "" {
		t.Errorf("the log has %q", said)
	}
	now = now.Add(80 * 24 * time.Hour)
	s.WarnOfExpiry()
	if !strings.Contains(said.String(), "level=WARN") || !strings.Contains(said.String(), "a.example") {
		t.Errorf("ten days before the end the log has %q", said)
	}
	st := s.Stats()
	if len(st.Certificates) != 1 || st.Certificates[0].Name != "a.example" || st.Certificates[0].Until.Sub(now) > 10*24*time.Hour {
		t.Errorf("stats: %+v", st)
	}
}

// Keys as OpenSSL writes them.
func TestKeysOfOpenSSL(t *testing.T) {
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not on PATH")
	}
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"rsa": {"-newkey", "rsa:2048"}, "ec": {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"}, "ed25519": {"-newkey", "ed25519"},
	} {
		cert, key := in(dir, name+".pem"), in(dir, name+".key")
		out, err := exec.Command(program, append([]string{"req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:" + name + ".example", "-keyout", key, "-out", cert}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl: %v: %s", err, out)
		}
		s, said := open(t, certificate.Config{Pairs: []certificate.Pair{{Cert: cert, Key: key}}})
		if said.count("level=WARN") > 0 {
			t.Errorf("%s: %s", name, said)
		}
		if got := presented(t, s, name+".example"); got != serialOf(t, certificate.Pair{Cert: cert, Key: key}) {
			t.Errorf("%s: another certificate", name)
		}
		// The traditional form, and an encrypted one.
		if name != "ed25519" {
			old := in(dir, name+".old")
			if out, err := exec.Command(program, "pkey", "-traditional", "-in", key, "-out", old).CombinedOutput(); err != nil {
				t.Fatalf("openssl: %v: %s", err, out)
			}
			if err := (certificate.Config{Pairs: []certificate.Pair{{Cert: cert, Key: old}}}).Validate(); err != nil {
				t.Errorf("%s in the traditional form: %v", name, err)
			}
		}
		closed := in(dir, name+".closed")
		if out, err := exec.Command(program, "pkey", "-aes128", "-passout", "pass:x", "-in", key, "-out", closed).CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v: %s", err, out)
		}
		if err := (certificate.Config{Pairs: []certificate.Pair{{Cert: cert, Key: closed}}}).Validate(); err == nil || !strings.Contains(err.Error(), "is encrypted") {
			t.Errorf("%s, encrypted: %v", name, err)
		}
	}
}
