package apikey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
)

const (
	// Prefix is the beginning of every key, and of nothing else that a request has in
	// its place: a JSON Web Token begins with ey.
	Prefix = "peal_"

	secretBytes  = 32
	secretDigits = 43 // of base 62, for 256 bits
	checkDigits  = 6  // of base 62, for 32 bits

	// Length is that of every key.
	Length = len(Prefix) + secretDigits + checkDigits
)

// Create returns a key of 32 bytes that it reads from random, which is
// crypto/rand.Reader except in tests. The error is that of the reader.
func Create(random io.Reader) (string, error) {
	var secret [secretBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", fmt.Errorf("random bytes for a key: %w", err)
	}
	body := Prefix + base62(secret[:], secretDigits)
	return body + checksum(body), nil
}

// base62 is a number, most significant byte first, in that many digits of
// 0-9, a-z, A-Z.
func base62(number []byte, digits int) string {
	text := new(big.Int).SetBytes(number).Text(62)
	return strings.Repeat("0", digits-len(text)) + text
}

func checksum(body string) string {
	return base62(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))), checkDigits)
}

// Is reports whether text is meant to be a key, valid or not.
func Is(text []byte) bool { return bytes.HasPrefix(text, []byte(Prefix)) }

// Found by Check.
var (
	// ErrForm: the text was never a key, or a part of it is missing.
	ErrForm = errors.New(`is not a key: a key is peal_ and 49 letters and digits, as "peal key create" prints it`)

	// ErrChecksum: a character differs from the key that was created.
	ErrChecksum = errors.New("is a key with a wrong checksum: a character was changed when it was copied; copy the key again")
)

// Check returns ErrForm or ErrChecksum if text is not a key. A key without an error
// may still be unknown to every server.
func Check(text string) error {
	switch b := []byte(text); {
	case !hasForm(b):
		return ErrForm
	case !hasChecksum(b):
		return ErrChecksum
	}
	return nil
}

// hasForm reports whether the prefix, the length and the alphabet are those of a key.
func hasForm(text []byte) bool {
	if len(text) != Length || !Is(text) {
		return false
	}
	for i := len(Prefix); i < len(text); i++ {
		if values[text[i]] < 0 {
			return false
		}
	}
	return true
}

// hasChecksum reports whether a text that has the form of a key ends with the
// checksum of its beginning.
func hasChecksum(text []byte) bool {
	body, digits := text[:Length-checkDigits], text[Length-checkDigits:]
	has := uint64(0)
	for _, c := range digits {
		has = has*62 + uint64(values[c])
	}
	return has == uint64(crc32.ChecksumIEEE(body))
}

// values are those of the digits of base 62, -1 for other characters.
var values = func() (all [256]int8) {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" // as big.Int.Text writes them
	for i := range all {
		all[i] = int8(strings.IndexByte(digits, byte(i)))
	}
	return all
}()

// digestPrefix names the kind of digest, so that there can be another one day.
const digestPrefix = "sha256:"

// Digest is what the configuration has of a key: sha256: and 64 hexadecimal digits.
// A key has 256 random bits, so a fast digest is enough: there is nothing to guess.
func Digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return digestPrefix + hex.EncodeToString(sum[:])
}

// parseDigest reads the result of Digest.
func parseDigest(text string) (sum [sha256.Size]byte, ok bool) {
	digits, ok := strings.CutPrefix(text, digestPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(digits))
	return sum, err == nil
}
