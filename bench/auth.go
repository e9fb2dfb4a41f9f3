package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"peal/bench/record"
	"peal/loadtest"
	"peal/loadtest/dialect"
)

// Auth starts servers that need proof, and makes the tokens and the key that they accept.
// Its zero value can only name its experiments.
type Auth struct {
	dir    string
	secret []byte
	signer *ecdsa.PrivateKey
	key    string // of a backend
}

// Prepare writes what servers verify with into dir. It has the Peal binary create the key.
func (a *Auth) Prepare(ctx context.Context, peal, dir string) (err error) {
	a.dir, a.secret = dir, []byte(rand.Text()+rand.Text())
	if a.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(a.signer.Public())
	if err != nil {
		return err
	}
	var definition bytes.Buffer
	create := exec.CommandContext(ctx, peal, "key", "create", "--name", "bench", "--allow", "publish", "--allow", "subscribe")
	create.Stderr = &definition
	key, err := create.Output()
	if err != nil {
		return fmt.Errorf("peal key create: %w: %s", err, definition.Bytes())
	}
	a.key = string(bytes.TrimSpace(key))
	for name, text := range map[string][]byte{
		"secret":   a.secret,
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"keys":     definition.Bytes(),
		"off.yaml": []byte("channels:\n- match: '*'\n  presence: false\n"),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return err
}

// users have a token each, and are numbered from first. The zero value is clients without.
type users struct {
	by       string // HS256 or ES256
	first, n int
}

// server is open, or like it with --auth token if there are users. Its subscribers go
// round their tokens.
func (a *Auth) server(open *Command, u users) (*Command, error) {
	if u.n == 0 {
		return open, nil
	}
	tokens, err := a.tokens(u)
	c := with(open, "--auth", "token", "--token-secret-file", filepath.Join(a.dir, "secret"),
		"--token-key", filepath.Join(a.dir, "key.pem"), "--key-file", filepath.Join(a.dir, "keys"))
	const bearer = "Authorization: Bearer "
	c.Credentials = Credentials{bearer + "{token}\r\n", bearer + a.key + "\r\n", dialect.Data{Columns: []string{"token"}, Rows: tokens}}
	return c, err
}

// with is c with further arguments.
func with(c *Command, args ...string) *Command {
	of := *c
	of.Args = append(slices.Clone(c.Args), args...)
	return &of
}

// tokens are rows of dialect.Data. They are good for the channels of all loads.
func (a *Auth) tokens(u users) (rows [][]string, err error) {
	// The server starts later, and refuses what was issued before (control_state_lost); it
	// forgives a clock that is 10 s ahead.
	issued, encode := time.Now().Unix()+8, base64.RawURLEncoding.AppendEncode
	for i := u.first; i < u.first+u.n; i++ {
		text := encode(nil, fmt.Appendf(nil, `{"alg":%q,"typ":"JWT"}`, u.by))
		text = encode(append(text, '.'), fmt.Appendf(nil, `{"sub":"u%d","iat":%d,"exp":%d,"peal":{"subscribe":["c*"]}}`, i, issued, issued+7200))
		signature, err := a.sign(u.by, text)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []string{string(encode(append(text, '.'), signature))})
	}
	return rows, nil
}

func (a *Auth) sign(by string, text []byte) ([]byte, error) {
	if by == "HS256" {
		mac := hmac.New(sha256.New, a.secret)
		mac.Write(text)
		return mac.Sum(nil), nil
	}
	digest := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, a.signer, digest[:])
	if err != nil {
		return nil, err
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
}

// AuthExperiments compare a server that needs proof (A) with an open one (B), which is
// the same build.
func (c *Config) AuthExperiments(a *Auth) (all []Experiment) {
	off := []string{"--config", filepath.Join(a.dir, "off.yaml")}
	for _, idle := range []struct {
		key, what, query string // of clients of the open server
		args             []string
		target           *record.Target
	}{
		{"auth-idle", "channel without presence", "", append(off[:2:2], "--token-cache", "16"), record.AtMost(record.Difference, 96)},
		{"auth-idle-cached", "the same and the cache, which has 65,536 tokens at most", "", off, nil},
		{"auth-idle-presence", "the same, channel with presence, where B has the same names (client=)", "client=u{i}", nil, nil},
	} {
		side := func(measured users, query string) Side {
			return func(ctx context.Context) (Sample, error) {
				l, err := a.server(with(c.Peal, idle.args...), measured)
				if err != nil {
					return nil, err
				}
				v, err := c.growth(ctx, l, loadtest.Spec{Channels: 1, Query: query, Data: dialect.Data{Token: "none"}}, readLive)
				slices.Reverse(v)
				return v, err
			}
		}
		all = append(all, Experiment{Key: idle.key, Rows: []record.Row{
			{What: "live Go heap per idle WebSocket, each with a token of its own, " + idle.what, Unit: "bytes", Target: idle.target},
			{What: "resident bytes of it", Unit: "bytes"},
		}, A: side(users{"HS256", 0, c.Many}, ""), B: side(users{}, idle.query)})
	}
	for _, by := range []string{"HS256", "ES256"} {
		for _, one := range []struct {
			key, what     string
			before, burst users
		}{
			{"one", "all with one token, cached", users{by, 0, 1}, users{by, 0, 1}},
			{"cached", "each with a token of its own, cached", users{by, 0, c.Many}, users{by, 0, c.Many}},
			{"uncached", "each with a token of its own, the first time", users{by, 0, c.Many}, users{by, c.Many, c.Many}},
		} {
			all = append(all, Experiment{Key: "auth-accept-" + by + "-" + one.key,
				Rows: []record.Row{{What: fmt.Sprintf("connections accepted and upgraded per server-CPU-second, %s, %s", by, one.what), Unit: "1/s"}},
				A:    c.acceptAgain(a, one.before, one.burst), B: c.acceptAgain(a, users{}, users{})})
		}
	}
	publish := func(subscribers users) Side {
		return func(ctx context.Context) (Sample, error) {
			l, err := a.server(c.Peal, subscribers)
			if err != nil {
				return nil, err
			}
			return OnServer(ctx, l, c.Loops, func(s *Server) (Sample, error) {
				r, err := c.flood(ctx, s, c.Channels, 0, nil, nil)
				return Sample{r.PerServerCPUSecond()}, err
			})
		}
	}
	return append(all, Experiment{Key: "auth-publish",
		Rows: []record.Row{{What: "publications per server-CPU-second, HTTP keep-alive, with a key", Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.97)}},
		A:    publish(users{"HS256", 0, 1}), B: publish(users{})})
}

// acceptAgain has the users of before open all connections and close them, and measures
// when those of burst come.
func (c *Config) acceptAgain(a *Auth, before, burst users) Side {
	return func(ctx context.Context) (Sample, error) {
		first, err := a.server(c.Peal, before)
		if err != nil {
			return nil, err
		}
		second := first
		if burst != before { // tokens that are made again are others
			if second, err = a.server(c.Peal, burst); err != nil {
				return nil, err
			}
		}
		return OnServer(ctx, first, c.Loops, func(s *Server) (Sample, error) {
			few, err := loadtest.Descriptors(s.PID)
			if err != nil {
				return nil, err
			}
			if _, _, _, err = c.accept(ctx, s, false); err != nil {
				return nil, err
			}
			if err := closedAgain(ctx, s, few); err != nil {
				return nil, err
			}
			s.Credentials = second.Credentials
			cost, _, _, err := c.accept(ctx, s, false)
			return Sample{1 / cost.Seconds()}, err
		})
	}
}
