package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The algorithms with which Portico proves itself to an EHR's authorization
// server (SMART App Launch 2.2, "Client authentication: asymmetric").
const (
	RS384 = string(jose.RS384)
	ES384 = string(jose.ES384)
)

// BackendAlgorithms are both of them. Their keys are never those of id_tokens: what
// proves us to an EHR must prove nobody to an app.
func BackendAlgorithms() []string { return []string{RS384, ES384} }

// The algorithms of id_tokens. RS256 is the one every OpenID Connect client must
// understand (SMART App Launch 2.2, "Scopes for requesting identity data": RS256
// SHALL); ES256 is for clients that ask for it.
const (
	RS256 = string(jose.RS256)
	ES256 = string(jose.ES256)
)

// Algorithms are all of them, the default first.
func Algorithms() []string { return []string{RS256, ES256} }

// keyBits is what RFC 7518 §3.3 asks of RS256 at least.
const keyBits = 2048

// Signer signs with the keys of a KeyStore, id_tokens unless its options say
// otherwise. It asks the store each
// time, so that a key added or retired by another replica counts at once.
type Signer struct {
	keys KeyStore
	now  func() time.Time
	algs []string

	mu     sync.Mutex
	parsed map[string]crypto.Signer // by kid
}

// SignerOptions say what a Signer needs.
type SignerOptions struct {
	Keys KeyStore
	Now  func() time.Time
	Rand io.Reader
	Algs []string // Algorithms() when nil
}

// NewSigner makes sure that there are keys to sign with. Replicas that start
// together end with the same ones.
func NewSigner(ctx context.Context, o SignerOptions) (*Signer, error) {
	if o.Keys == nil || o.Now == nil || o.Rand == nil {
		return nil, errors.New("token: a signer needs Keys, Now and Rand")
	}
	if o.Algs == nil {
		o.Algs = Algorithms()
	}
	s := &Signer{keys: o.Keys, now: o.Now, algs: o.Algs, parsed: map[string]crypto.Signer{}}
	for _, alg := range s.algs {
		if err := s.ensure(ctx, alg, o.Rand); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Signer) ensure(ctx context.Context, alg string, random io.Reader) error {
	_, _, err := s.current(ctx, alg)
	if !errors.Is(err, errNoKey) {
		return err
	}
	fresh, err := newKey(alg, s.now(), random)
	if err != nil {
		return err
	}
	if err := s.keys.AddKey(ctx, fresh); err != nil {
		return fmt.Errorf("keep a signing key: %w", err)
	}
	_, _, err = s.current(ctx, alg)
	return err
}

var errNoKey = errors.New("token: there is no signing key in use")

// newKey makes a key whose id is its thumbprint (RFC 7638), so that two keys
// never share one.
func newKey(alg string, now time.Time, random io.Reader) (Key, error) {
	var (
		private crypto.Signer
		err     error
	)
	switch alg {
	case RS256, RS384:
		private, err = rsa.GenerateKey(random, keyBits)
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), random)
	case ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), random)
	default:
		return Key{}, fmt.Errorf("token: there are no keys for %q", alg)
	}
	if err != nil {
		return Key{}, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, fmt.Errorf("encode a signing key: %w", err)
	}
	kid, err := thumbprint(private)
	if err != nil {
		return Key{}, err
	}
	return Key{ID: kid, Alg: alg, PKCS8: der, Created: now}, nil
}

func thumbprint(private crypto.Signer) (string, error) {
	public := jose.JSONWebKey{Key: private.Public()}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name a signing key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// parse reads the private part of a key; each is read once.
func (s *Signer) parse(k Key) (crypto.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if private, ok := s.parsed[k.ID]; ok {
		return private, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	var private crypto.Signer
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		if k.Alg == RS256 || k.Alg == RS384 {
			private = key
		}
	case *ecdsa.PrivateKey:
		if k.Alg == ES256 && key.Curve == elliptic.P256() || k.Alg == ES384 && key.Curve == elliptic.P384() {
			private = key
		}
	}
	if private == nil || k.ID == "" {
		return nil, fmt.Errorf("signing key %q: not a key for %s with an id", k.ID, k.Alg)
	}
	s.parsed[k.ID] = private
	return private, nil
}

// current gives the key that signs now: of those in use the one that retires
// first. A new one waits until then, so that clients have heard of it.
func (s *Signer) current(ctx context.Context, alg string) (Key, crypto.Signer, error) {
	keys, err := s.keys.Keys(ctx)
	if err != nil {
		return Key{}, nil, fmt.Errorf("read the signing keys: %w", err)
	}
	now := s.now()
	keys = slices.DeleteFunc(keys, func(k Key) bool { return k.Alg != alg || !k.InUse(now) })
	if len(keys) == 0 {
		return Key{}, nil, fmt.Errorf("%w for %s", errNoKey, alg)
	}
	first := slices.MinFunc(keys, Key.before)
	private, err := s.parse(first)
	return first, private, err
}

// JWKS gives the public part of every key that may still verify something: those
// in use or waiting, and the retired ones until all that they signed has expired
// (RFC 7517 §5).
func (s *Signer) JWKS(ctx context.Context) (jose.JSONWebKeySet, error) {
	keys, err := s.keys.Keys(ctx)
	if err != nil {
		return jose.JSONWebKeySet{}, fmt.Errorf("read the signing keys: %w", err)
	}
	now := s.now()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		if !slices.Contains(s.algs, k.Alg) || !k.Verifies(now) {
			continue
		}
		private, err := s.parse(k)
		if err != nil {
			return jose.JSONWebKeySet{}, err
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: private.Public(), KeyID: k.ID, Algorithm: k.Alg, Use: "sig"})
	}
	return set, nil
}

// IDToken are the claims of an id_token (OpenID Connect Core 1.0 §2; fhirUser:
// SMART App Launch 2.2, "Scopes for requesting identity data").
type IDToken struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	Issued   int64  `json:"iat"`
	AuthTime int64  `json:"auth_time,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
	// AccessTokenHash binds it to the access token beside it (§3.1.3.6).
	AccessTokenHash string `json:"at_hash,omitempty"`
	FHIRUser        string `json:"fhirUser,omitempty"` // absolute URL
	Profile         string `json:"profile,omitempty"`  // the same URL, for apps that ask with the profile scope
}

// SignIDToken signs with the key in use for alg ("": RS256) and names it in kid.
func (s *Signer) SignIDToken(ctx context.Context, claims IDToken, alg string) (string, error) {
	if claims.Issuer == "" || claims.Subject == "" || claims.Audience == "" || claims.Expires <= claims.Issued {
		return "", errors.New("token: an id_token needs iss, sub, aud, iat and a later exp")
	}
	if alg == "" {
		alg = RS256
	}
	return s.Sign(ctx, claims, alg)
}

// Sign signs claims as a JWT with the key in use for alg and names it in kid.
func (s *Signer) Sign(ctx context.Context, claims any, alg string) (string, error) {
	if !slices.Contains(s.algs, alg) {
		return "", fmt.Errorf("token: this signer does not sign with %q", alg)
	}
	key, private, err := s.current(ctx, alg)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: private, KeyID: key.ID}},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return "", fmt.Errorf("prepare to sign: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode a JWT: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign a JWT: %w", err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("write a JWT: %w", err)
	}
	return text, nil
}

// AccessTokenHash gives at_hash for an access token under RS256 and ES256: the
// left half of its SHA-256 (OpenID Connect Core 1.0 §3.1.3.6).
func AccessTokenHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}
