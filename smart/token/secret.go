package token

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
)

// secretBytes is the entropy of codes and tokens: 256 bits, beyond what
// RFC 6749 §10.10 and RFC 9700 §4 ask for.
const secretBytes = 32

// secretLength is the length of a secret as text.
var secretLength = base64.RawURLEncoding.EncodedLen(secretBytes)

// NewSecret makes a code or token and the digest under which it is kept. It
// panics when the random source fails: no caller can go on without one.
func NewSecret(rand io.Reader) (string, Digest) {
	b := make([]byte, secretBytes)
	if _, err := io.ReadFull(rand, b); err != nil {
		panic(fmt.Sprintf("token: the random source failed: %v", err))
	}
	secret := base64.RawURLEncoding.EncodeToString(b)
	return secret, DigestOf(secret)
}

// DigestOf gives the digest under which a secret is kept. A plain hash is
// enough: a secret of 256 random bits cannot be guessed from it.
func DigestOf(secret string) Digest {
	return sha256.Sum256([]byte(secret))
}

// wellFormed tells whether text can be a secret of ours, so that anything else
// never reaches the store.
func wellFormed(text string) bool {
	if len(text) != secretLength {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
