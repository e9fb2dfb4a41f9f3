package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/outside"
)

// doctorURL is the flags of peal doctor that are about a URL.
type doctorURL struct {
	url, publish               string
	token, tokenFile, keyFile  string
	channel, origin, proxy, ca string
	appKey                     string
	connect                    string
	headers                    []string
	quick                      bool
	idle, poll                 time.Duration
}

func (d *doctorURL) flags(f *pflag.FlagSet) {
	f.StringVar(&d.url, "url", "", "check this server as its clients reach it, as in https://push.example.org, in place of the machine")
	f.StringVar(&d.token, "token", "", "token of a user (better "+tokenVariable+" or --token-file: other users of a machine can read arguments)")
	f.StringVar(&d.tokenFile, "token-file", "", "file with the token of a user")
	f.StringVar(&d.keyFile, "key-file", "", "file with the key of a backend, to publish (also "+keyVariable+")")
	f.StringVar(&d.publish, "publish-url", "", "URL of the server for your backend, if the proxy keeps /publish to itself")
	f.StringVar(&d.channel, "channel", "", "channel to subscribe to and publish on (default: a new name); its subscribers receive the messages of the checks")
	f.StringVar(&d.appKey, "app-key", "", "key of an app of the Pusher protocol: also check that its sessions over plain HTTP stay with one server")
	f.StringVar(&d.origin, "origin", "", "origin of your web pages, as in https://app.example.org")
	f.StringVar(&d.proxy, "proxy", "", "proxy in front: "+strings.Join(outside.Kinds(), ", ")+" (default: what it looks like)")
	f.StringVar(&d.ca, "ca", "", "PEM file with the authorities that signed the certificate (default: those of this machine)")
	f.StringVar(&d.connect, "connect", "", "host:port to connect to in place of the one in the URL, as before a change of DNS")
	f.StringArrayVar(&d.headers, "header", nil, "further header of each request, as in 'Cookie: user=ann'; repeatable")
	f.BoolVar(&d.quick, "quick", false, "leave out quiet connections and long polls, which take up to --idle")
	f.DurationVar(&d.idle, "idle", 30*time.Second, "how long a quiet connection may take until its heartbeat")
	f.DurationVar(&d.poll, "poll", 25*time.Second, "how long a poll is held")
}

// patientDoctor is how long what comes at once may take.
const patientDoctor = 5 * time.Second

// visit reads the flags.
func (d *doctorURL) visit() (v outside.Visit, err error) {
	v = outside.Visit{
		Header: http.Header{}, AppKey: d.appKey, Channel: d.channel, Origin: strings.TrimSuffix(d.origin, "/"), Proxy: d.proxy, Connect: d.connect,
		Patience: patientDoctor, Idle: d.idle, Poll: d.poll, Quick: d.quick,
	}
	if v.URL, err = parseURL(d.url); err != nil {
		return v, err
	}
	v.URL.RawQuery, v.URL.Fragment, v.URL.User = "", "", nil
	if d.publish != "" {
		if v.Publish, err = parseURL(d.publish); err != nil {
			return v, err
		}
	}
	if d.proxy != "" && !slices.Contains(outside.Kinds(), d.proxy) {
		return v, fmt.Errorf("--proxy %s: must be one of %s", d.proxy, strings.Join(outside.Kinds(), ", "))
	}
	if o, err := url.Parse(d.origin); d.origin != "" && (err != nil || o.Scheme == "" || o.Host == "") {
		return v, fmt.Errorf("--origin %q: must be like https://app.example.org", d.origin)
	}
	if _, _, err := net.SplitHostPort(d.connect); d.connect != "" && err != nil {
		return v, fmt.Errorf("--connect %q: must be like 192.0.2.7:443", d.connect)
	}
	if d.poll < time.Second || d.idle < time.Second {
		return v, errors.New("--idle and --poll: must be at least 1s")
	}
	for _, h := range d.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return v, errors.New("--header: must be a name, a colon and a value, as in 'Cookie: user=ann'") // which is a secret
		}
		v.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if d.ca != "" {
		pem, err := os.ReadFile(d.ca)
		if err != nil {
			return v, fmt.Errorf("--ca: %w", err)
		}
		if v.Roots = x509.NewCertPool(); !v.Roots.AppendCertsFromPEM(pem) {
			return v, fmt.Errorf("--ca %s: has no certificate in PEM", d.ca)
		}
	}
	return v, d.prove(&v)
}

// prove adds the token and the key. A key alone also subscribes.
func (d *doctorURL) prove(v *outside.Visit) error {
	user, err := secretOf("--token-file", d.tokenFile, cmp.Or(d.token, os.Getenv(tokenVariable)))
	if err != nil {
		return err
	}
	backend, err := secretOf("--key-file", d.keyFile, os.Getenv(keyVariable))
	if err != nil {
		return err
	}
	if backend != "" {
		v.PublishHeader = v.Header.Clone()
		v.PublishHeader.Set("Authorization", "Bearer "+backend)
	}
	if one := cmp.Or(user, backend); one != "" {
		v.Header.Set("Authorization", "Bearer "+one)
	}
	return nil
}

// secretOf is the text of a file or, without one, another text. Errors do not repeat it.
func secretOf(flag, file, otherwise string) (string, error) {
	text, from := otherwise, "the token or key"
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", flag, err)
		}
		text, from = strings.TrimSpace(string(b)), flag+" "+file
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("%s has characters that are in no token or key, such as a space or a line break", from)
		}
	}
	return text, nil
}

// outside checks a URL. say prints how long it takes.
func (d *doctorURL) outside(ctx context.Context, say func(text string)) (*doctor.Report, error) {
	v, err := d.visit()
	if err != nil {
		return nil, err
	}
	if !d.quick {
		say(fmt.Sprintf("This takes up to %s, because quiet connections are watched until their heartbeat; --quick leaves them out.", max(d.idle, d.poll)+patientDoctor))
	}
	return v.Examine(ctx), nil
}
