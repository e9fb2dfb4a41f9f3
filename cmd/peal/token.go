package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"peal/server/pattern"
	"peal/server/token"
)

// secretVariable is that of the setting token-secret.
const secretVariable = "PEAL_TOKEN_SECRET"

func newToken() *cobra.Command {
	var s signer
	c := &cobra.Command{
		Use:   "token --sub NAME [--subscribe PATTERN ...]",
		Short: "Sign a token of a user, for development and tests",
		Long: `Signs a token (JWT, HS256) with a secret of the server's token-secret, and prints it
on standard output. Applications sign tokens with a library of their language.

In a pattern, * stands for any characters. Escape values that you insert into one,
or a user named * gets the channels of all:

  peal token --sub "$id" --subscribe "orders.$(peal token --escape "$name").*"

The secret comes from --secret, from --secret-file, or from PEAL_TOKEN_SECRET; of
several, the first is used. Other users of the machine can see arguments, so use a
file for a secret that you keep.`,
		Example: `  peal token --sub 42 --subscribe 'orders.*' --ttl 1h
  peal token --sub 42 --publish chat --presence chat --info '{"name":"Ann"}'`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 { // not repeated: one may be a secret
				return usage(c, errors.New("takes no arguments, only flags"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := pattern.Escape(s.escape), error(nil)
			if !c.Flags().Changed("escape") {
				text, err = s.sign(time.Now())
			}
			if err == nil {
				_, err = fmt.Fprintln(c.OutOrStdout(), text)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&s.Subject, "sub", "", "name of the user, 1 to 194 bytes")
	f.StringArrayVar(&s.Subscribe, "subscribe", nil, "pattern of channels that the user may subscribe to; repeatable")
	f.StringArrayVar(&s.Publish, "publish", nil, "pattern of channels that the user may publish on; repeatable")
	f.StringArrayVar(&s.Presence, "presence", nil, "pattern of channels whose members the user may see; repeatable")
	f.StringVar(&s.Info, "info", "", `what presence shows of the user, a JSON object such as {"name":"Ann"}`)
	f.DurationVar(&s.Lifetime, "ttl", time.Hour, "how long the token is valid, at most the server's token-lifetime")
	f.StringVar(&s.ID, "jti", "", "id of the token, by which it can be revoked")
	f.StringVar(&s.Issuer, "issuer", "", "iss, if the server has token-issuer")
	f.StringVar(&s.Audience, "audience", "", "aud, if the server has token-audience")
	f.StringVar(&s.secret, "secret", "", "secret to sign with, at least 32 bytes (also "+secretVariable+")")
	f.StringVar(&s.secretFile, "secret-file", "", "file with the secret in its first line")
	f.StringVar(&s.escape, "escape", "", "print this text escaped for a pattern, and nothing else")
	return c
}

// signer has the flags of peal token.
type signer struct {
	token.Claims
	secret, secretFile string
	escape             string
}

// sign returns the token, issued at now. Its errors do not contain the secret.
func (s *signer) sign(now time.Time) (string, error) {
	secret, from, err := s.findSecret()
	if err != nil {
		return "", usageError{err}
	}
	if err := token.CheckSecret(secret); err != nil {
		return "", usageError{fmt.Errorf("%s: %w", from, err)}
	}
	if s.Lifetime < time.Second {
		return "", usageError{fmt.Errorf("--ttl %v: must be at least 1s", s.Lifetime)}
	}
	if s.Subject == "" {
		return "", usageError{errors.New("--sub is missing: name the user, as in --sub 42")}
	}
	s.Issued = now
	text, err := token.Sign(secret, s.Claims)
	if err != nil {
		return "", usageError{fmt.Errorf("servers would refuse this token: %w", err)}
	}
	return text, nil
}

// findSecret returns the secret, and the name of where it comes from.
func (s *signer) findSecret() (secret, from string, err error) {
	switch {
	case s.secret != "" && s.secretFile != "":
		return "", "", errors.New("--secret and --secret-file exclude each other")
	case s.secret != "":
		return s.secret, "--secret", nil
	case s.secretFile != "":
		all, err := token.ReadSecrets(s.secretFile)
		if err != nil {
			return "", "", fmt.Errorf("--secret-file: %w", err)
		}
		return all[0], "--secret-file", nil
	}
	secret, _, _ = strings.Cut(os.Getenv(secretVariable), ",") // a list, like that of every setting
	if secret == "" {
		return "", "", errors.New("there is no secret: use --secret-file, --secret or " + secretVariable + ", with a token-secret of the server")
	}
	return secret, secretVariable, nil
}
