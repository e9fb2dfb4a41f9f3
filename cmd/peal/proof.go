package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/spf13/pflag"
)

const (
	tokenVariable = "PEAL_TOKEN"
	keyVariable   = "PEAL_KEY"
)

// proof is the token of a user or the key of a backend, by which a command proves to the
// server who it is.
type proof struct {
	token, key string // flags
	from       string // the flag or variable that has it; "": there is none
}

// proofFlags adds --token and --key. The variables are no defaults of them: help would
// print these.
func proofFlags(f *pflag.FlagSet) *proof {
	p := new(proof)
	f.StringVar(&p.token, "token", "", "token of a user (better "+tokenVariable+": other users of a machine can read arguments)")
	f.StringVar(&p.key, "key", "", "key of a backend, peal_… (better "+keyVariable+")")
	return p
}

// header is what the requests have to prove it: what a flag says, or else a variable. If
// both variables are set, the preferred one counts.
func (p *proof) header(preferred string) (http.Header, error) {
	switch {
	case p.token != "" && p.key != "":
		return nil, usageError{errors.New("--token and --key: use only one of them")}
	case p.token != "":
		p.from = "--token"
	case p.key != "":
		p.from = "--key"
	default:
		for _, name := range []string{preferred, tokenVariable, keyVariable} {
			if p.from == "" && os.Getenv(name) != "" {
				p.from = name
			}
		}
	}
	if p.from == "" {
		return nil, nil
	}
	text := cmp.Or(p.token, p.key, os.Getenv(p.from))
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' { // net/http would print the whole header
			return nil, usageError{fmt.Errorf("%s has characters that are in no token or key, such as a space or a line break", p.from)}
		}
	}
	return http.Header{"Authorization": {"Bearer " + text}}, nil
}

// ofGrants are the codes of 403 that another token or key may avoid.
var ofGrants = []string{"not_allowed", "backend_only", "client_mismatch"}

// explain adds to a refusal which flag or variable to change.
func (p *proof) explain(err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	denied := r.status == http.StatusUnauthorized
	switch {
	case !denied && !(r.status == http.StatusForbidden && slices.Contains(ofGrants, r.code)):
		return err
	case p.from == "":
		return fmt.Errorf("%w: set %s (or --token) to the token of a user, or %s (or --key) to the key of a backend", err, tokenVariable, keyVariable)
	case denied:
		return fmt.Errorf("%w: set %s to another one", err, p.from)
	}
	return fmt.Errorf("%w: set %s to one that grants this", err, p.from)
}
