package token_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func now() time.Time { return time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC) }

func TestSecretsAre256BitsAndKeptAsDigest(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		secret, digest := token.NewSecret(rand.Reader)
		raw, err := base64.RawURLEncoding.DecodeString(secret)
		if err != nil || len(raw) != 32 {
			t.Fatalf("a secret of %d bytes (err %v), want 32", len(raw), err)
		}
		if token.DigestOf(secret) != digest || strings.Contains(string(digest[:]), string(raw[:4])) {
			t.Fatal("the digest is not that of the secret")
		}
		if seen[secret] {
			t.Fatal("the same secret twice")
		}
		seen[secret] = true
	}
}

func TestNoSecretWithoutRandomness(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a secret was made from too little randomness")
		}
	}()
	token.NewSecret(strings.NewReader("short"))
}

func issue(t *testing.T, s token.Store, change func(*token.Grant, *token.Access)) string {
	t.Helper()
	bearer, digest := token.NewSecret(rand.Reader)
	_, code := token.NewSecret(rand.Reader)
	g := token.Grant{ID: bearer[:8], Client: "app", Source: "demo", Patient: "p1", Created: now(), Expires: now().Add(time.Hour)}
	a := token.Access{Digest: digest, Scopes: "openid patient/Observation.rs", Issued: now(), Expires: now().Add(time.Hour)}
	if change != nil {
		change(&g, &a)
	}
	if err := s.CreateGrant(t.Context(), g, token.Code{Digest: code, Expires: g.Expires}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateAccess(t.Context(), g.ID, a); err != nil {
		t.Fatal(err)
	}
	return bearer
}

func TestBearerStandsForItsGrant(t *testing.T) {
	t.Parallel()
	s := tokentest.NewMemory()
	v := token.Verifier{Store: s, Now: now}
	g, a, set, err := v.Authenticate(t.Context(), issue(t, s, nil))
	if err != nil {
		t.Fatal(err)
	}
	if g.Source != "demo" || g.Patient != "p1" || !a.Expires.Equal(now().Add(time.Hour)) ||
		!set.Allows(scope.Patient, "Observation", scope.Search) || set.Allows(scope.Patient, "Condition", scope.Read) {
		t.Errorf("got %+v %+v %v", g, a, set)
	}
}

func TestTokensThatAreNotGoodAreAllRefusedAlike(t *testing.T) {
	t.Parallel()
	s := tokentest.NewMemory()
	good := issue(t, s, nil)
	expired := issue(t, s, func(_ *token.Grant, a *token.Access) { a.Expires = now() })
	revoked := issue(t, s, nil)
	if err := s.RevokeGrant(t.Context(), revoked[:8], now()); err != nil {
		t.Fatal(err)
	}
	unknown, _ := token.NewSecret(rand.Reader)
	v := token.Verifier{Store: s, Now: now}
	text := ""
	for name, bearer := range map[string]string{
		"empty": "", "unknown": unknown, "expired": expired, "revoked": revoked, "with a space": good + " ", "cut": good[:42],
		"with a line break": good[:42] + "\n", "longer": good + "A", "another alphabet": strings.Repeat("+", 43), "huge": strings.Repeat("A", 1<<20),
	} {
		_, _, set, err := v.Authenticate(t.Context(), bearer)
		if fault.KindOf(err) != fault.Unauthenticated || !set.Empty() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text == "" {
			text = err.Error()
		}
		if err.Error() != text {
			t.Errorf("%s is told apart: %q", name, err)
		}
	}
}

func TestTokensThatCannotBeJudgedAreRefused(t *testing.T) {
	t.Parallel()
	s := tokentest.NewMemory()
	v := token.Verifier{Store: s, Now: now}
	for name, bearer := range map[string]string{
		"scopes that do not parse": issue(t, s, func(_ *token.Grant, a *token.Access) { a.Scopes = "patient/Observation.sr" }),
		"no patient":               issue(t, s, func(g *token.Grant, _ *token.Access) { g.Patient, g.PersonSubject = "", "s" }),
		"no source":                issue(t, s, func(g *token.Grant, _ *token.Access) { g.Source = "" }),
	} {
		if _, _, set, err := v.Authenticate(t.Context(), bearer); fault.KindOf(err) != fault.Internal || err == nil || !set.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
	v.Store = broken{}
	bearer, _ := token.NewSecret(rand.Reader)
	if _, _, _, err := v.Authenticate(t.Context(), bearer); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a broken store: %v", err)
	}
}

type broken struct{ token.Store }

func (broken) Access(context.Context, token.Digest, time.Time) (token.Access, token.Grant, error) {
	return token.Access{}, token.Grant{}, errors.New("disk full")
}

func signer(t *testing.T, keys token.KeyStore, at time.Time) *token.Signer {
	t.Helper()
	s, err := token.NewSigner(t.Context(), token.SignerOptions{Keys: keys, Now: func() time.Time { return at }, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claims() token.IDToken {
	return token.IDToken{
		Issuer: "https://portico.example", Subject: "s", Audience: "app", Issued: now().Unix(), Expires: now().Add(time.Hour).Unix(),
		Nonce: "n", FHIRUser: "https://portico.example/fhir/demo/Patient/1",
	}
}

// verify checks a token against a JWKS as it travels: as JSON.
func verify(t *testing.T, s *token.Signer, text string) (kid string, payload map[string]any) {
	t.Helper()
	set, err := s.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wire, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`} {
		if strings.Contains(string(wire), private+":") {
			t.Fatalf("the JWKS has the private part %s", private)
		}
	}
	var read jose.JSONWebKeySet
	if err := json.Unmarshal(wire, &read); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	kid = jws.Signatures[0].Header.KeyID
	found := read.Key(kid)
	if kid == "" || len(found) != 1 || found[0].Use != "sig" || found[0].Algorithm != jws.Signatures[0].Header.Algorithm {
		t.Fatalf("kid %q names %d keys of the JWKS", kid, len(found))
	}
	body, err := jws.Verify(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &payload); err != nil {
		t.Fatal(err)
	}
	return kid, payload
}

func TestIDTokensVerifyAgainstTheJWKS(t *testing.T) {
	t.Parallel()
	s := signer(t, tokentest.NewMemory(), now())
	text, err := s.SignIDToken(t.Context(), claims(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, payload := verify(t, s, text)
	if payload["aud"] != "app" || payload["nonce"] != "n" || payload["exp"] != float64(now().Add(time.Hour).Unix()) ||
		payload["fhirUser"] != "https://portico.example/fhir/demo/Patient/1" {
		t.Errorf("claims: %v", payload)
	}
	for _, absent := range []string{"auth_time", "at_hash", "profile"} {
		if _, ok := payload[absent]; ok {
			t.Errorf("%s is there without a value", absent)
		}
	}
}

func TestIncompleteIDTokensAreNotSigned(t *testing.T) {
	t.Parallel()
	s := signer(t, tokentest.NewMemory(), now())
	for name, change := range map[string]func(*token.IDToken){
		"no issuer":    func(c *token.IDToken) { c.Issuer = "" },
		"no subject":   func(c *token.IDToken) { c.Subject = "" },
		"no audience":  func(c *token.IDToken) { c.Audience = "" },
		"over already": func(c *token.IDToken) { c.Expires = c.Issued },
	} {
		c := claims()
		change(&c)
		if text, err := s.SignIDToken(t.Context(), c, ""); err == nil {
			t.Errorf("%s: signed %s", name, text)
		}
	}
}

func TestReplicasThatStartTogetherShareOneKey(t *testing.T) {
	t.Parallel()
	keys := tokentest.NewMemory()
	signers, errs := make([]*token.Signer, 3), make([]error, 3)
	var wg sync.WaitGroup
	for i := range signers {
		wg.Go(func() {
			signers[i], errs[i] = token.NewSigner(t.Context(), token.SignerOptions{Keys: keys, Now: now, Rand: rand.Reader})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	kids := map[string]bool{}
	for i, s := range signers {
		text, err := s.SignIDToken(t.Context(), claims(), "")
		if err != nil {
			t.Fatal(err)
		}
		kid, _ := verify(t, signers[(i+1)%len(signers)], text)
		kids[kid] = true
	}
	if len(kids) != 1 {
		t.Errorf("%d keys in use, want 1", len(kids))
	}
}

func TestRestartKeepsTheKeyAndRotationServesTheOldOne(t *testing.T) {
	t.Parallel()
	keys := tokentest.NewMemory()
	first := signer(t, keys, now())
	before, err := first.SignIDToken(t.Context(), claims(), "")
	if err != nil {
		t.Fatal(err)
	}
	oldKid, _ := verify(t, signer(t, keys, now()), before)

	keys.RetireKeys(now())
	if _, err := first.SignIDToken(t.Context(), claims(), ""); err == nil {
		t.Error("a retired key signed")
	}
	second := signer(t, keys, now().Add(time.Minute))
	after, err := first.SignIDToken(t.Context(), claims(), "") // the running replica follows
	if err != nil {
		t.Fatal(err)
	}
	newKid, _ := verify(t, second, after)
	stillOld, _ := verify(t, second, before)
	if newKid == oldKid || stillOld != oldKid {
		t.Errorf("old kid %s, new kid %s, old token by %s", oldKid, newKid, stillOld)
	}
}

func TestKeysThatCannotSignAreRefusedAtStart(t *testing.T) {
	t.Parallel()
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(elliptical)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]token.Key{
		"not PKCS #8":         {ID: "k", Alg: "RS256", PKCS8: []byte("x"), Created: now()},
		"another kind of key": {ID: "k", Alg: "RS256", PKCS8: der, Created: now()},
	} {
		keys := tokentest.NewMemory()
		if err := keys.AddKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if _, err := token.NewSigner(t.Context(), token.SignerOptions{Keys: keys, Now: now, Rand: rand.Reader}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := token.NewSigner(t.Context(), token.SignerOptions{}); err == nil {
		t.Error("a signer of nothing was made")
	}
}

func TestAccessTokenHashIsTheLeftHalf(t *testing.T) {
	t.Parallel()
	// The example of OpenID Connect Core 1.0, appendix A.3.
	if got := token.AccessTokenHash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"); got != "77QmUPtjPfzWtF2AnpK9RQ" {
		t.Errorf("at_hash = %s", got)
	}
}
