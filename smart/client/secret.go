package client

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
)

// The cost of argon2id (RFC 9106 §4, lowered to what a token endpoint can bear;
// the secrets that are made here have 256 random bits besides). They stand in
// each hash, so they can be raised later.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16
	maxSecret    = 512
)

// hashing bounds how many secrets are checked at once: each takes 19 MiB.
var hashing = make(chan struct{}, 4)

// proven remembers which secret was good for a hash, as SHA-256 and in memory
// alone: a client that proves itself again does not wait behind those who try
// wrong secrets in its name.
var proven = provenSecrets{of: map[string][sha256.Size]byte{}}

const maxProven = 4096

type provenSecrets struct {
	mu sync.Mutex
	of map[string][sha256.Size]byte // by hash, which changes with the secret
}

func (p *provenSecrets) good(hash string, digest [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	had, ok := p.of[hash]
	return ok && subtle.ConstantTimeCompare(had[:], digest[:]) == 1
}

func (p *provenSecrets) add(hash string, digest [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.of) >= maxProven {
		clear(p.of)
	}
	p.of[hash] = digest
}

// NewSecret makes a client secret and the hash under which it is kept. The
// secret is shown once and cannot be had again.
func NewSecret(random io.Reader) (secret, hash string, err error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("client: make a secret: %w", err)
	}
	secret = base64.RawURLEncoding.EncodeToString(raw)
	hash, err = HashSecret(secret, random)
	return secret, hash, err
}

// HashSecret gives the argon2id hash of a secret in PHC form.
func HashSecret(secret string, random io.Reader) (string, error) {
	if secret == "" || len(secret) > maxSecret {
		return "", errors.New("client: a secret has 1 to 512 bytes")
	}
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("client: hash a secret: %w", err)
	}
	key := argon2.IDKey([]byte(secret), salt, argonTime, argonMemory, argonThreads, argonKey)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

// phc is a hash taken apart.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func parseHash(hash string) (phc, bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, false
	}
	var h phc
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil || n != 3 {
		return phc{}, false
	}
	var errSalt, errKey error
	h.salt, errSalt = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, errKey = base64.RawStdEncoding.DecodeString(parts[5])
	const most = 1 << 20 // KiB; the store is ours, but a spoilt row must not end the process
	ok := errSalt == nil && errKey == nil && len(h.salt) >= argonSalt && len(h.key) == argonKey &&
		h.memory > 0 && h.memory <= most && h.time > 0 && h.time <= 16 && h.threads > 0
	return h, ok
}

// CheckSecret tells whether secret is the client's. It takes the same time for
// any wrong secret. A client without one has no right secret.
func (c Client) CheckSecret(secret string) bool {
	if len(secret) > maxSecret {
		return false
	}
	got := sha256.Sum256([]byte(secret))
	if c.SecretHash != "" {
		h, ok := parseHash(c.SecretHash)
		if !ok {
			return false
		}
		if proven.good(c.SecretHash, got) {
			return true
		}
		hashing <- struct{}{}
		defer func() { <-hashing }()
		key := argon2.IDKey([]byte(secret), h.salt, h.time, h.memory, h.threads, argonKey)
		if subtle.ConstantTimeCompare(key, h.key) != 1 {
			return false
		}
		proven.add(c.SecretHash, got)
		return true
	}
	return subtle.ConstantTimeCompare(got[:], c.SecretSHA256) == 1
}
