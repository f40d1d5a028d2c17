package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // keys in their own case and once only
	"github.com/go-jose/go-jose/v4/jwt"
)

// AssertionType is the client_assertion_type of RFC 7523 §2.2.
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// The limits of a client assertion (SMART App Launch 2.2, "Client
// Authentication: Asymmetric").
const (
	maxAssertion    = 8 << 10
	maxJTI          = 512
	maxDate         = 253402300799    // the end of the year 9999
	assertionMaxAge = 5 * time.Minute // exp is no further ahead
	// assertionSkew is how far ahead a client's clock may be: many set exp to
	// exactly five minutes from their now.
	assertionSkew = 10 * time.Second
)

// AssertionAlgorithms are those that SMART App Launch 2.2 names. No other is
// taken: not what shares its secret (HS*), not none, and not RS256 and ES256,
// which nobody who follows SMART signs with.
func AssertionAlgorithms() []string { return []string{string(jose.RS384), string(jose.ES384)} }

var (
	// ErrAssertion says that a client assertion is not to be believed. What
	// wraps it says why, for the operator and the makers of the app.
	ErrAssertion = errors.New("client: the assertion is refused")
	// ErrReplayed says that an assertion was used before. It is an ErrAssertion
	// too.
	ErrReplayed = fmt.Errorf("%w: its jti was used before", ErrAssertion)
)

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrAssertion, fmt.Errorf(format, args...))
}

// AssertionStore remembers which assertions were used. clienttest.RunAssertionStore
// holds every implementation to what is said here.
type AssertionStore interface {
	// UseAssertion notes with one atomic statement that an issuer used a jti,
	// at least until expires. If it did so before, in whatever replica,
	// ErrReplayed.
	UseAssertion(ctx context.Context, issuer, jti string, expires time.Time) error
}

// Assertion is a client assertion that was read but not verified: all it says
// is hearsay.
type Assertion struct {
	jws    *jose.JSONWebSignature
	alg    jose.SignatureAlgorithm
	kid    string
	jku    string
	claims jwt.Claims
}

// Issuer gives the client that it claims to be from.
func (a Assertion) Issuer() string { return a.claims.Issuer }

// ReadAssertion reads an assertion and checks all that can be checked without a
// key: everything here is cheap, whoever sends it.
func ReadAssertion(text string) (Assertion, error) {
	if len(text) > maxAssertion {
		return Assertion{}, refused("it is longer than %d bytes", maxAssertion)
	}
	// Decoders of base64 differ in what they overlook.
	if strings.ContainsFunc(text, func(c rune) bool { return c != '.' && !isBase64URL(c) }) {
		return Assertion{}, refused("it has characters that no JWT has")
	}
	algorithms := []jose.SignatureAlgorithm{jose.RS384, jose.ES384}
	jws, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil {
		return Assertion{}, refused("it is no signed JWT of %s: %w", strings.Join(AssertionAlgorithms(), " or "), err)
	}
	// What is signed counts, and the compact form has nothing else.
	header := jws.Signatures[0].Protected
	a := Assertion{jws: jws, alg: jose.SignatureAlgorithm(header.Algorithm), kid: header.KeyID}
	if a.kid == "" {
		return Assertion{}, refused("its header has no kid")
	}
	// RFC 8725 §3.11: a JWT that was signed for another purpose says so in typ.
	// SMART App Launch 2.2 wants clients to send JWT; some that know RFC 7523
	// only send none, and nothing else without typ has iss = sub (RFC 9101
	// §10.8 keeps that out of request objects).
	if typ, there := header.ExtraHeaders[jose.HeaderType]; there {
		if text, ok := typ.(string); !ok || !strings.EqualFold(text, "JWT") {
			return Assertion{}, refused("its header has a typ that is not JWT")
		}
	}
	if jku, there := header.ExtraHeaders["jku"]; there {
		if a.jku, _ = jku.(string); a.jku == "" {
			return Assertion{}, refused("its jku is no URL")
		}
	}
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &a.claims); err != nil {
		return Assertion{}, refused("its claims cannot be read: %w", err)
	}
	c := a.claims
	switch {
	case c.Issuer == "" || c.Issuer != c.Subject:
		return Assertion{}, refused("iss and sub must both be the client_id")
	case c.ID == "" || len(c.ID) > maxJTI:
		return Assertion{}, refused("it needs a jti of 1 to %d bytes", maxJTI)
	case c.Expiry == nil:
		return Assertion{}, refused("it has no exp")
	case len(c.Audience) == 0:
		return Assertion{}, refused("it has no aud")
	}
	for _, date := range []*jwt.NumericDate{c.Expiry, c.NotBefore, c.IssuedAt} {
		if date != nil && (*date < 0 || *date > maxDate) {
			return Assertion{}, refused("it has a date that cannot be")
		}
	}
	return a, nil
}

func isBase64URL(c rune) bool {
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// AssertionOptions say what Assertions needs.
type AssertionOptions struct {
	Keys KeySource
	Used AssertionStore
	// Audiences are the names of this server of which aud must be one.
	Audiences []string
	Now       func() time.Time
}

// Assertions verifies client assertions.
type Assertions struct {
	o AssertionOptions
	// verifying bounds how many signatures are verified at once: to verify costs
	// more than to send something that must be verified.
	verifying chan struct{}
}

// NewAssertions refuses options that cannot be meant.
func NewAssertions(o AssertionOptions) (*Assertions, error) {
	if o.Keys == nil || o.Used == nil || len(o.Audiences) == 0 || o.Now == nil {
		return nil, errors.New("client: Assertions need Keys, Used, Audiences and Now")
	}
	return &Assertions{o: o, verifying: make(chan struct{}, runtime.GOMAXPROCS(0))}, nil
}

// Check verifies that c itself made the assertion, for this server, now, and
// uses it up (RFC 7523 §3; SMART App Launch 2.2, "Authentication JWT"). What is
// refused is an ErrAssertion; any other error is the store's.
func (v *Assertions) Check(ctx context.Context, c Client, a Assertion) error {
	if err := v.plausible(c, a); err != nil {
		return err
	}
	key, err := v.key(ctx, c, a)
	if err != nil {
		return err
	}
	if err := v.verify(ctx, a, key); err != nil {
		return err
	}
	// Only what is genuine is remembered: others cannot use up a client's ids.
	err = v.o.Used.UseAssertion(ctx, c.ID, a.claims.ID, a.claims.Expiry.Time().Add(assertionSkew))
	if err != nil && !errors.Is(err, ErrReplayed) {
		return fmt.Errorf("remember an assertion: %w", err)
	}
	return err
}

// plausible checks what costs nothing.
func (v *Assertions) plausible(c Client, a Assertion) error {
	now, exp := v.o.Now(), a.claims.Expiry.Time()
	switch {
	case c.ID == "" || a.claims.Issuer != c.ID:
		return refused("iss is not the client")
	case c.Auth != PrivateKeyJWT:
		return refused("the client is registered for %s", c.Auth)
	// Every one of them must be this server: an assertion that is good for two
	// could be used at the one by the other.
	case slices.ContainsFunc(a.claims.Audience, func(aud string) bool { return !slices.Contains(v.o.Audiences, aud) }):
		return refused("aud must be %s", v.o.Audiences[0])
	case !now.Before(exp):
		return refused("it has expired")
	case exp.After(now.Add(assertionMaxAge + assertionSkew)):
		return refused("exp is more than five minutes ahead")
	case a.claims.NotBefore != nil && a.claims.NotBefore.Time().After(now.Add(assertionSkew)):
		return refused("nbf is in the future")
	case a.claims.IssuedAt != nil && a.claims.IssuedAt.Time().After(now.Add(assertionSkew)):
		return refused("iat is in the future")
	// The jku is never fetched: if it is given, it must be what is registered.
	case a.jku != "" && a.jku != c.JWKSURI:
		return refused("jku is not the registered URL")
	}
	return nil
}

// key finds the one key that kid and the algorithm's kty name.
func (v *Assertions) key(ctx context.Context, c Client, a Assertion) (jose.JSONWebKey, error) {
	keys, err := v.o.Keys.Keys(ctx, c, a.kid)
	if err != nil {
		return jose.JSONWebKey{}, refused("find the key %q: %w", a.kid, err)
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(k jose.JSONWebKey) bool { return k.KeyID != a.kid || !fits(k, a.alg) })
	if len(keys) != 1 {
		return jose.JSONWebKey{}, refused("%d keys fit kid %q and %s", len(keys), a.kid, a.alg)
	}
	return keys[0], nil
}

// fits tells whether a key is for signatures of an algorithm: RS384 takes any
// RSA key, ES384 one on P-384 (RFC 7518 §3.3, §3.4).
func fits(k jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if (k.Algorithm != "" && k.Algorithm != string(alg)) || (k.Use != "" && k.Use != "sig") {
		return false
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		return alg == jose.RS384
	case *ecdsa.PublicKey:
		return alg == jose.ES384 && public.Curve == elliptic.P384()
	}
	return false
}

func (v *Assertions) verify(ctx context.Context, a Assertion, key jose.JSONWebKey) error {
	select {
	case v.verifying <- struct{}{}:
		defer func() { <-v.verifying }()
	case <-ctx.Done():
		return fmt.Errorf("wait to verify an assertion: %w", ctx.Err())
	}
	if _, err := a.jws.Verify(key.Key); err != nil {
		return refused("its signature is not that of key %q", a.kid)
	}
	return nil
}
