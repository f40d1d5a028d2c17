package connect

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// lookEvery bounds how often a file is looked at.
const lookEvery = time.Second

// FileKeys signs with the keys of a PEM file: the first signs, all are published.
// To rotate, put the new key behind the old one, wait until the EHR has read the
// JWKS, then in front of it, and take the old one out when nothing that it signed
// is good any more. The file is read again when it changes; one that cannot be
// used changes nothing.
type FileKeys struct {
	path   string
	now    func() time.Time
	report func(error)

	mu   sync.Mutex
	keys []fileKey
	seen os.FileInfo
	next time.Time
}

type fileKey struct {
	id      string
	alg     string
	private crypto.Signer
}

var _ Signer = (*FileKeys)(nil)

// OpenKeys reads the file for the first time. report is told when a change to it
// cannot be used.
func OpenKeys(path string, now func() time.Time, report func(error)) (*FileKeys, error) {
	k := &FileKeys{path: path, now: now, report: report}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("connect: the keys: %w", err)
	}
	if k.keys, err = readKeys(path); err != nil {
		return nil, err
	}
	k.seen, k.next = info, now().Add(lookEvery)
	return k, nil
}

// Alg gives the algorithm of the key that signs.
func (k *FileKeys) Alg() string { return k.current()[0].alg }

func (k *FileKeys) current() []fileKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if now.Before(k.next) {
		return k.keys
	}
	k.next = now.Add(lookEvery)
	info, err := os.Stat(k.path) // before reading: a change in between is seen the next time
	if err == nil && os.SameFile(info, k.seen) && info.ModTime().Equal(k.seen.ModTime()) && info.Size() == k.seen.Size() {
		return k.keys
	}
	if err == nil {
		k.seen = info
		var keys []fileKey
		if keys, err = readKeys(k.path); err == nil {
			k.keys = keys
		}
	}
	if err != nil {
		k.report(fmt.Errorf("the keys in use stay: %w", err))
	}
	return k.keys
}

// Sign implements Signer; alg must be that of the first key, or "".
func (k *FileKeys) Sign(_ context.Context, claims any, alg string) (string, error) {
	first := k.current()[0]
	if alg != "" && alg != first.alg {
		return "", fmt.Errorf("connect: the first key signs with %s, not %s", first.alg, alg)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(first.alg), Key: jose.JSONWebKey{Key: first.private, KeyID: first.id}},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return "", fmt.Errorf("connect: prepare to sign: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("connect: encode claims: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("connect: sign: %w", err)
	}
	return signed.CompactSerialize() //nolint:wrapcheck // fails for what has no signature alone
}

// JWKS gives the public parts of all keys.
func (k *FileKeys) JWKS(context.Context) (jose.JSONWebKeySet, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range k.current() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.private.Public(), KeyID: key.id, Algorithm: key.alg, Use: "sig"})
	}
	return set, nil
}

func readKeys(path string) ([]fileKey, error) {
	rest, err := os.ReadFile(path) //nolint:gosec // the configuration names it
	if err != nil {
		return nil, fmt.Errorf("connect: the keys: %w", err)
	}
	var keys []fileKey
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes them before the key
			continue
		}
		key, err := parseKey(block)
		if err != nil {
			return nil, fmt.Errorf("connect: %s, key %d: %w", path, len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("connect: there is no key in %s; it must be a PEM file", path)
	}
	return keys, nil
}

// minRSA is what RFC 7518 §3.3 asks for.
const minRSA = 2048

func parseKey(block *pem.Block) (fileKey, error) {
	var parsed any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return fileKey{}, errors.New("it is no private key without a passphrase")
	}
	if err != nil {
		return fileKey{}, errors.New("it cannot be read") // the cause could quote it
	}
	var out fileKey
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSA {
			return fileKey{}, fmt.Errorf("an RSA key must have %d bits", minRSA)
		}
		out = fileKey{alg: string(jose.RS384), private: key}
	case *ecdsa.PrivateKey:
		if key.Curve != elliptic.P384() {
			return fileKey{}, errors.New("an EC key must be on P-384, for ES384")
		}
		out = fileKey{alg: string(jose.ES384), private: key}
	default:
		return fileKey{}, errors.New("it must be RSA or EC on P-384")
	}
	public := jose.JSONWebKey{Key: out.private.Public()}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return fileKey{}, fmt.Errorf("name it: %w", err)
	}
	out.id = base64.RawURLEncoding.EncodeToString(sum)
	return out, nil
}
