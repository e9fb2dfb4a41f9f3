package outbound

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// The example of the public specification of Standard Webhooks.
func TestStandardSignatureIsThatOfTheSpecification(t *testing.T) {
	key, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSecrets(t *testing.T) {
	if key, err := ParseSecret("a text of 24 bytes, here"); err != nil || string(key) != "a text of 24 bytes, here" {
		t.Errorf("%q, %v", key, err)
	}
	if key, err := ParseSecret("whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"); err != nil || hex.EncodeToString(key) != "000102030405060708090a0b0c0d0e0f1011121314151617" {
		t.Errorf("%x, %v", key, err)
	}
	for _, bad := range []string{"", "short", "whsec_AAEC", "whsec_*", strings.Repeat("x", 513)} {
		if _, err := ParseSecret(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOneSecretSigns(t *testing.T) {
	const good = "a text of 24 bytes, here"
	app, none := "7", ""
	for _, c := range []struct {
		secret, file string
		app          *string
		want         string
	}{
		{good, "", nil, ""}, {"", "f", nil, ""}, {good, "", &none, ""}, {"", "f", &none, ""}, {"", "", &app, ""},
		{"", "", nil, "has nothing to sign with: set secret-file or secret"},
		{"", "", &none, "has nothing to sign with: set secret-file, secret, or app"},
		{good, "f", nil, "sets more than one of secret and secret-file: keep one"},
		{good, "", &app, "sets more than one of secret, secret-file and app: keep one"},
		{"", "f", &app, "sets more than one of secret, secret-file and app: keep one"},
		{"short", "", nil, "secret: has 5 bytes: must have 24 to 512, as whsec_ and the output of openssl rand -base64 32"},
	} {
		got := ""
		if err := CheckSecret(c.secret, c.file, c.app); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q, %q, %v: %q, want %q", c.secret, c.file, c.app, got, c.want)
		}
	}
}

func TestAddressesThatAreNotPublic(t *testing.T) {
	for _, text := range strings.Fields(`0.0.0.0 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255
		192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
		:: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0
		fec0::1 ff02::1 2001::1 2001:db8::1 2001:10::1 2002:7f00:1::1 2002:a00:1:: 3fff::1 4000::1`) {
		if IsPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s counts as public", text)
		}
	}
	for _, text := range strings.Fields("1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.167.0.1 223.255.255.255 ::ffff:8.8.8.8 2606:4700::1111 2a00:1450::1 2001:4860:4860::8888") {
		if !IsPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s does not count as public", text)
		}
	}
}
