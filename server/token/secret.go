package token

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// readSecrets returns the secrets of the configuration in their order, those of the
// file last. Its errors, one for each fault, do not contain a secret.
func readSecrets(c *Config) (secrets [][]byte, faults []error) {
	add := func(from, secret string) {
		if err := CheckSecret(secret); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", from, err))
			return
		}
		secrets = append(secrets, []byte(secret))
	}
	for i, secret := range c.Secrets {
		add(fmt.Sprintf("%s-secret, number %d", c.Prefix, i+1), secret)
	}
	if c.SecretFile != "" {
		all, err := ReadSecrets(c.SecretFile)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s-secret-file: %w", c.Prefix, err))
		}
		for i, secret := range all {
			add(fmt.Sprintf("%s-secret-file %s, number %d", c.Prefix, c.SecretFile, i+1), secret)
		}
		if info, err := os.Stat(c.SecretFile); err == nil && info.Mode()&0o004 != 0 {
			c.Log.Warn(c.Prefix+"-secret-file can be read by every user of this machine: chmod o-r it", "file", c.SecretFile)
		}
	}
	if len(secrets) > maxKeys {
		faults = append(faults, fmt.Errorf("%[1]s-secret and %[1]s-secret-file: %[2]d secrets: must be at most %[3]d; remove those that no token is signed with any more", c.Prefix, len(secrets), maxKeys))
	}
	return secrets, faults
}

// ReadSecrets reads a file of secrets: one a line, without white space around it.
func ReadSecrets(path string) (secrets []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%s has a PEM key: name it with token-key; a secret for HS256 is a line of text", path)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			secrets = append(secrets, line)
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s has no secret: write one a line", path)
	}
	return secrets, nil
}

// CheckSecret returns why a text is no secret for HS256. The error does not contain it.
func CheckSecret(secret string) error {
	if len(secret) < minSecret {
		return fmt.Errorf("a secret of %d bytes: must have at least %d, or it can be guessed from a token; make one with: openssl rand -base64 48", len(secret), minSecret)
	}
	if strings.Contains(secret, "-----BEGIN ") {
		return errors.New("is a PEM key: name its file with token-key; a secret for HS256 is a text")
	}
	return nil
}
