package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"peal/server/apikey"
	"peal/server/credential"
	"peal/server/settings"
)

func newKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Create and check keys of backends",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newKeyCreate(), newKeyDigest(), newKeyCheck())
	return c
}

func newKeyCreate() *cobra.Command {
	var d apikey.Definition
	var forOperator bool
	c := &cobra.Command{
		Use:   "create --name NAME --allow ACTION[:PATTERN] ...",
		Short: "Create a key for a backend",
		Long: `Creates a key with 256 random bits and prints it on standard output. It prints the
lines for the configuration on standard error: the name of the key, its digest, and
what it may do. Nothing stores the key itself: keep it in the secrets of the backend.

Actions are subscribe, history, presence, publish, inspect, disconnect and revoke.
The first five may have a pattern of channels, in which * stands for any characters:
publish:orders.*. Without a pattern, an action is allowed on every channel, also on
those of single users ($user:42), which the pattern * does not match.

With --operator it is a key for the admin listener (operator-keys), whose rights are read, publish,
disconnect and operate.`,
		Example: `  peal key create --name shop --allow 'publish:orders.*' --allow disconnect > shop.key
  peal key create --operator --name grafana --allow read > grafana.key
  peal key create --name shop --allow publish > shop.key 2>> keys.yaml   # the first key of a file`,
		Args: keyArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if forOperator {
				return createOperatorKey(credential.Definition(d), c.OutOrStdout(), c.ErrOrStderr())
			}
			return createKey(d, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&d.Name, "name", "", "name of the key in the configuration and in metrics, such as that of the backend")
	f.StringArrayVar(&d.Allow, "allow", nil, "action that the key allows, with or without a pattern; repeatable")
	f.BoolVar(&forOperator, "operator", false, "create a key for the admin listener")
	return c
}

func newKeyDigest() *cobra.Command {
	return &cobra.Command{
		Use:   "digest",
		Short: "Print the digest of a key from standard input",
		Long: `Reads a key from standard input and prints its digest, which the configuration has
instead of the key.`,
		Example: `  peal key digest < shop.key`,
		Args:    keyArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			key, err := readKey(c.InOrStdin())
			if err == nil {
				_, err = fmt.Fprintln(c.OutOrStdout(), apikey.Digest(key))
			}
			return err
		},
	}
}

func newKeyCheck() *cobra.Command {
	var file string
	var keyFiles []string
	c := &cobra.Command{
		Use:   "check",
		Short: "Find out what a key from standard input allows: exit code 0 or 1",
		Long: `Reads a key from standard input and checks its checksum. With a configuration
(--config, --key-file, or their variables), it also prints the name of the key
there and what the key allows; the exit code is 1 if the configuration does not
have the key. No server is needed.`,
		Example: `  peal key check --config peal.yaml < shop.key`,
		Args:    keyArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			key, err := readKey(c.InOrStdin())
			if err != nil {
				return err
			}
			in := settings.Input{Environment: os.Environ(), File: file}
			if len(keyFiles) > 0 {
				in.Flags = map[string][]string{"key-file": keyFiles}
			}
			s, err := settings.Load(in)
			if err != nil {
				return usageError{err}
			}
			return checkKey(key, s, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&file, "config", "", "configuration file (also "+settings.ConfigVariable+")")
	f.StringArrayVar(&keyFiles, "key-file", nil, "file with keys (also PEAL_KEY_FILE); repeatable")
	return c
}

// keyArgs refuses arguments without repeating them: one may be a key.
func keyArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(c, errors.New("takes no arguments; a key is read from standard input, because other users of the machine can see arguments"))
	}
	return nil
}

// keyInput is the longest input with a key: more is surely another file.
const keyInput = 4 << 10

// readKey reads a key, with or without white space around it.
func readKey(from io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(from), keyInput))
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" {
		return "", errors.New("there is no key on standard input: use < FILE, or type the key and end with Ctrl-D")
	}
	if err := apikey.Check(key); err != nil {
		return "", fmt.Errorf("standard input %w", err)
	}
	return key, nil
}

func createKey(d apikey.Definition, stdout, stderr io.Writer) error {
	key, err := apikey.Create(rand.Reader)
	if err != nil {
		return err
	}
	d.Digest = apikey.Digest(key)
	if err := checkFlags(d); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stderr, `# The key is on standard output and is not shown again. Send it as
# "Authorization: Bearer peal_...". These lines belong to the configuration, or to a
# file that --key-file names. If that has a line "keys:" already, leave this one out.
%s`, settings.KeyYAML(d))
	if err == nil {
		_, err = fmt.Fprintln(stdout, key)
	}
	return err
}

func createOperatorKey(d credential.Definition, stdout, stderr io.Writer) error {
	key, err := apikey.Create(rand.Reader)
	if err != nil {
		return err
	}
	d.Digest = apikey.Digest(key)
	if err := credential.Validate([]credential.Definition{d}); err != nil {
		return usageError{fmt.Errorf("%w (see: peal key create --help)", err)}
	}
	_, err = fmt.Fprintf(stderr, `# The key is on standard output and is not shown again. Give it to commands by
# --operator-key-file or PEAL_OPERATOR_KEY, to other programs as "Authorization: Bearer peal_...",
# to a browser as the password of any user. These lines belong to the configuration, or to
# a file that operator-key-file names.
%s`, settings.OperatorYAML(d))
	if err == nil {
		_, err = fmt.Fprintln(stdout, key)
	}
	return err
}

// checkFlags reports all mistakes in the flags of a definition at once.
func checkFlags(d apikey.Definition) error {
	var faults []string
	if d.Name == "" {
		faults = append(faults, "--name is missing: name the key after its backend, as in --name shop")
	}
	if len(d.Allow) == 0 {
		faults = append(faults, "--allow is missing: it sets what the key may do, as in --allow 'publish:orders.*'")
	}
	if err := apikey.Validate([]apikey.Definition{d}); err != nil && len(faults) == 0 {
		for _, one := range err.(interface{ Unwrap() []error }).Unwrap() {
			var f *apikey.Fault
			if errors.As(one, &f) {
				faults = append(faults, f.What)
			}
		}
	}
	if len(faults) > 0 {
		return usageError{fmt.Errorf("%s (see: peal key create --help)", strings.Join(faults, "\n  "))}
	}
	return nil
}

func checkKey(key string, s *settings.Settings, stdout io.Writer) error {
	if len(s.Files) == 0 {
		_, err := fmt.Fprintln(stdout, "ok: the checksum of the key is correct. To find it in a configuration, use --config or --key-file.")
		return err
	}
	g, ok := apikey.New(s.Config.Keys, nil).Find([]byte(key))
	if !ok {
		return fmt.Errorf("the key is not in %s (keys there: %d): add its digest, which \"peal key digest\" prints", strings.Join(s.Files, ", "), len(s.Config.Keys))
	}
	for _, d := range s.Config.Keys {
		if d.Name == g.Subject {
			fmt.Fprintf(stdout, "ok: key %q allows %s\n", d.Name, strings.Join(d.Allow, ", "))
		}
	}
	return nil
}
