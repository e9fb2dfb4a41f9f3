package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/redis/rueidis"

	"peal/server/log/distributed"
)

// DefaultName is the name of a log: the beginning of its keys.
const DefaultName = "peal"

// Config has the settings of the engine. Zero values stand for the defaults.
type Config struct {
	distributed.Config

	// Replicas is how many replicas must have a call before it is answered (WAIT); 0 or
	// less for none. Fewer within Wait are log.ErrUnavailable: the entries may be lost, or not.
	Replicas int

	PasswordFile string // has the password instead of the URL; read once
}

// WithDefaults returns c with its zero values filled in.
func (c Config) WithDefaults() Config {
	c.Config = c.Config.WithDefaults()
	if c.Replicas == 0 {
		c.Replicas = -1
	}
	return c
}

// Validate reports all that is wrong.
func (c Config) Validate() error {
	return c.Config.Validate()
}

// Schemes are those of URLs of this engine.
var Schemes = []string{"redis", "rediss", "redis-sentinel", "redis+unix"}

const sentinelPort = "26379"

// parameters are those of URLs. Others are refused: a log with a misspelled name
// would be that of somebody else.
var parameters = []string{"name", "db", "dial_timeout", "skip_verify", paramUser, paramFile}

// Parameters of redis-sentinel://: the user of the Sentinels themselves, and the file that has its
// password. The user and password of the URL are those of the master and its replicas.
const (
	paramUser = "sentinel_user"
	paramFile = "sentinel_password_file"
)

// options are what a URL says.
type options struct {
	client rueidis.ClientOption
	name   string
	text   string // of the URL, without secrets
	file   string // has the password of the Sentinels; "" for none
}

// parse reads redis://[user:password@]host[:port][/database][?name=…], rediss:// for
// TLS, redis+unix:///path, and redis-sentinel://host,host/MASTER.
func parse(text string) (o options, err error) {
	text, others := splitHosts(text)
	u, err := url.Parse(text)
	if err != nil || torn(text, u) {
		return o, errors.New("it is not a URL: write redis://HOST:PORT, with special characters of the password percent-encoded")
	}
	if u.Opaque != "" || !slices.Contains(Schemes, u.Scheme) { // as in redis:HOST, which would be read as no host
		return o, errors.New("it must begin as in redis://HOST:PORT")
	}
	q := u.Query()
	for key := range q {
		if !slices.Contains(parameters, key) { // not the key: it may be a secret
			return o, fmt.Errorf("it has an unknown parameter: there are %s; a password is before the host, as in redis://USER:PASSWORD@HOST", strings.Join(parameters, ", "))
		}
	}
	if o.name = q.Get("name"); o.name == "" {
		o.name = DefaultName
	}
	if strings.ContainsAny(o.name, "{}:") || len(o.name) > 64 || strings.ContainsFunc(o.name, func(r rune) bool { return r <= ' ' || !unicode.IsPrint(r) }) {
		return o, fmt.Errorf("name %q: must be at most 64 printable characters, without braces, colons and spaces", o.name)
	}
	if u.Path == "/" { // no database
		u.Path = ""
	}
	q.Del("name")
	user, file := q.Get(paramUser), q.Get(paramFile)
	switch {
	case (q.Has(paramUser) || q.Has(paramFile)) && u.Scheme != "redis-sentinel":
		return o, fmt.Errorf("%s and %s are for redis-sentinel:// only", paramUser, paramFile)
	case q.Has(paramUser) && file == "", q.Has(paramFile) && file == "":
		return o, fmt.Errorf("%s is missing: the file that has the password of the Sentinels", paramFile)
	}
	q.Del(paramUser)
	q.Del(paramFile)
	switch u.Scheme {
	case "redis+unix":
		u.Scheme = "unix"
	case "redis-sentinel":
		master := strings.Trim(u.Path, "/")
		if master == "" {
			return o, errors.New("the name of the master is missing, as in redis-sentinel://HOST:26379,HOST:26379/mymaster")
		}
		u.Scheme, u.Path = "redis", ""
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), sentinelPort)
		}
		for _, h := range others {
			if _, _, err := net.SplitHostPort(h); err != nil {
				h = net.JoinHostPort(strings.Trim(h, "[]"), sentinelPort)
			}
			q.Add("addr", h)
		}
		others = nil
		q.Set("master_set", master)
	}
	if len(others) > 0 {
		return o, errors.New("it has several hosts: only redis-sentinel:// can")
	}
	u.RawQuery = q.Encode()
	o.client, err = rueidis.ParseURL(u.String())
	if err != nil {
		return o, fmt.Errorf("it cannot be read: %w", withoutSecrets(err, u))
	}
	o.text, o.file = u.Redacted(), file
	c := &o.client
	c.Sentinel.Username = user
	c.ForceSingleClient = c.Sentinel.MasterSet == ""
	c.DisableRetry, c.DisableCache = true, true
	c.PipelineMultiplex = -1
	c.BlockingPoolSize = 2
	c.RingScaleEachConn = 8
	c.ConnWriteTimeout = 3 * time.Second
	if c.Dialer.Timeout == 0 {
		c.Dialer.Timeout = 2 * time.Second
	}
	c.Dialer.KeepAlive = time.Second
	c.ClientName = "peal"
	return o, nil
}

// splitHosts returns the URL with the first of its hosts, and the others: package url
// reads one.
func splitHosts(text string) (first string, others []string) {
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	hosts := strings.Split(rest[:end], ",")
	at := strings.LastIndexByte(rest[:end], '@')
	if len(hosts) == 1 || strings.IndexByte(rest[:end], ',') < at { // a comma of a password
		return text, nil
	}
	return scheme + "://" + hosts[0] + rest[end:], hosts[1:]
}

// passwords reads those that are in files: file has that of the master, "" for none.
func (o *options) passwords(file string) error {
	for _, one := range []struct {
		name, file string
		to         *string
	}{{"log-password-file", file, &o.client.Password}, {paramFile, o.file, &o.client.Sentinel.Password}} {
		if one.file == "" {
			continue
		}
		b, err := os.ReadFile(one.file)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		*one.to = strings.TrimRight(string(b), "\r\n")
	}
	return nil
}

// withoutSecrets is err, if it does not have the password in its text.
func withoutSecrets(err error, u *url.URL) error {
	if password, ok := u.User.Password(); ok && password != "" && strings.Contains(err.Error(), password) {
		return errors.New("a part of the URL is wrong")
	}
	return err
}

// torn reports whether a part of a password may be in another place of u: it had one of "/?#".
func torn(text string, u *url.URL) bool {
	return u.User == nil && strings.Contains(text, "@") || u.Fragment != ""
}

// Redacted is the URL of a log without secrets.
func Redacted(text string) string {
	first, others := splitHosts(text)
	u, err := url.Parse(first)
	if err != nil || torn(first, u) {
		return "redis://…"
	}
	u.Host = strings.Join(append([]string{u.Host}, others...), ",")
	for key := range u.Query() {
		if !slices.Contains(parameters, key) { // perhaps a secret
			u.RawQuery = "…"
			break
		}
	}
	return u.Redacted()
}
