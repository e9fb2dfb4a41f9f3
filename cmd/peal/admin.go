package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"peal/server/apikey"
)

const (
	operatorVariable = "PEAL_OPERATOR_KEY"
	adminVariable    = "PEAL_ADMIN"            // the setting of peal serve: the commands use the same address
	adminURL         = "http://127.0.0.1:8081" // of the documents
	unixHost         = "http://localhost"      // stands for a socket in the URLs of requests
)

// adminListener is the admin listener of a running server, and how a command reaches it. All
// commands that ask one have the same flags: adminFlags.
type adminListener struct {
	command string
	path    string // of the command's requests
	fixed   bool   // --url has no path of its own

	admin, url string // flags
	keyFile    string
	timeout    time.Duration
	trusted    *trust
}

// adminFlags adds the flags of a command that asks an admin listener. path is that of its
// requests; fixed says that --url is given without one, because the command has several.
func adminFlags(f *pflag.FlagSet, command, path string, fixed bool, timeout time.Duration, took string) *adminListener {
	a := &adminListener{command: command, path: path, fixed: fixed, trusted: trustFlags(f).proving(f)}
	f.StringVar(&a.admin, "admin", "", "address of the admin listener, as peal serve --admin has it: 127.0.0.1:8081, 8081, unix:/run/peal/admin.sock, or a URL (also "+adminVariable+")")
	standard := adminURL + path
	if fixed {
		standard = adminURL
	}
	f.StringVar(&a.url, "url", "", "URL of the admin listener, in place of --admin; https:// if it has --admin-tls-cert (default "+standard+")")
	f.StringVar(&a.keyFile, "operator-key-file", "", "file with the key of an operator, for a listener with operator-keys (also the key itself in "+operatorVariable+")")
	f.DurationVar(&a.timeout, "timeout", timeout, took)
	return a
}

// place is the base of the URLs of requests, without a slash at its end, and the Unix socket
// to connect to, "" for none.
func (a *adminListener) place() (base, socket string, err error) {
	switch {
	case a.url != "" && a.admin != "":
		return "", "", usageError{fmt.Errorf("%s: --admin and --url name the same: use only one of them", a.command)}
	case a.url != "" && !strings.HasPrefix(a.url, "unix:"):
		base, err = a.fromURL(a.url)
	default:
		base, socket, err = a.fromAddress(cmp.Or(a.url, a.admin, os.Getenv(adminVariable), adminURL))
	}
	return base, socket, err
}

// fromURL checks a URL, and takes the path of the command from it.
func (a *adminListener) fromURL(text string) (base string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", usageError{fmt.Errorf("%s: %q: give the URL of the admin listener, as in %s", a.command, text, adminURL)}
	}
	path := strings.TrimRight(u.Path, "/")
	if a.fixed && path != "" || u.RawQuery != "" {
		return "", usageError{fmt.Errorf("%s: %q: leave the path out, as in %s", a.command, text, adminURL)}
	}
	if path != "" {
		a.path = path
	}
	return u.Scheme + "://" + u.Host, nil
}

// fromAddress reads an address in the form of peal serve --admin.
func (a *adminListener) fromAddress(text string) (base, socket string, err error) {
	text, _, _ = strings.Cut(text, ",")
	if strings.Contains(text, "://") {
		base, err = a.fromURL(text)
		return base, "", err
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if path == "" {
			return "", "", usageError{fmt.Errorf("%s: --admin %q: the path of the socket is missing, as in unix:/run/peal/admin.sock", a.command, text)}
		}
		return unixHost, path, nil
	}
	if strings.Trim(text, "0123456789") == "" {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || port == "" {
		return "", "", usageError{fmt.Errorf("%s: --admin %q: must be like 127.0.0.1:8081, 8081, unix:/run/peal/admin.sock or https://10.0.0.5:8081", a.command, text)}
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified(): // the server listens on all addresses
		host = "127.0.0.1"
	}
	scheme := "http://"
	if *a.trusted != (trust{}) {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port), "", nil
}

// key is that of the operator, "" for none.
func (a *adminListener) key() (string, error) {
	text, from := os.Getenv(operatorVariable), operatorVariable
	if a.keyFile != "" {
		b, err := os.ReadFile(a.keyFile)
		if err != nil {
			return "", usageError{fmt.Errorf("--operator-key-file: %w", err)}
		}
		text, from = string(b), "--operator-key-file"
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", nil
	}
	if err := apikey.Check(text); err != nil {
		return "", usageError{fmt.Errorf("%s %w", from, err)}
	}
	return text, nil
}

// maxAdmin is how much of a response is read: the status of 1,024 nodes has less, and so has a
// page of 1,000 connections.
const maxAdmin = 16 << 20

// do sends a request to the path of the command and what is behind it, and returns the body of
// a response that is 200.
func (a *adminListener) do(ctx context.Context, method, behind string) (string, error) {
	return a.request(ctx, method, func() string { return a.path + behind })
}

// ask is do for a path of its own.
func (a *adminListener) ask(ctx context.Context, method, path string) (string, error) {
	return a.request(ctx, method, func() string { return path })
}

func (a *adminListener) request(ctx context.Context, method string, path func() string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	base, socket, err := a.place()
	if err != nil {
		return "", err
	}
	config, err := a.trusted.config()
	if err != nil {
		return "", err
	}
	at := base + path()
	shown := at
	request, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return "", usageError{fmt.Errorf("%s: %w", a.command, err)}
	}
	key, err := a.key()
	if err != nil {
		return "", err
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	// A transport of its own: the request must not go through a proxy that the
	// environment names.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}
	if socket != "" {
		shown = "unix:" + socket + path()
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		var u *url.Error
		if socket != "" && errors.As(err, &u) {
			err = u.Err // it would name a URL that is none
		}
		return "", fmt.Errorf("%s: %w (is the server running, with --admin?)", a.command, explainTLS(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAdmin))
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", a.command, shown, err)
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode == http.StatusOK {
		return text, nil
	}
	return "", &adminRefusal{a.command, shown, response.StatusCode, response.Status, text}
}

// adminRefusal is a response that is not 200.
type adminRefusal struct {
	command, at  string
	code         int
	status, body string
}

func (r *adminRefusal) Error() string {
	text := r.body
	var failure struct{ Error struct{ Message string } }
	if json.Unmarshal([]byte(text), &failure) == nil && failure.Error.Message != "" {
		text = failure.Error.Message
	}
	return fmt.Sprintf("%s: %s responds with %s: %s", r.command, r.at, r.status, plainLines(text))
}

// plainLines is plain for a text of several lines.
func plainLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = plain(lines[i], 1000)
	}
	return strings.Join(lines, "\n")
}

// print sends a request, and prints the response.
func (a *adminListener) print(ctx context.Context, method string, stdout io.Writer) error {
	text, err := a.do(ctx, method, "")
	if err == nil {
		fmt.Fprintln(stdout, text)
	}
	return err
}

// read reads JSON at a path into v, and returns it as text, too.
func (a *adminListener) read(ctx context.Context, path string, v any) (text string, err error) {
	text, err = a.ask(ctx, http.MethodGet, path)
	if err != nil {
		var r *adminRefusal
		if errors.As(err, &r) && r.code == http.StatusNotFound && strings.HasPrefix(r.body, "404") { // net/http's own
			return "", fmt.Errorf("%w (is this the address of --admin, and not of --listen? servers before this version lack it, too)", err)
		}
		return "", err
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return "", fmt.Errorf("%s: the response is none of an admin listener: give the address of peal serve --admin", a.command)
	}
	return text, nil
}
