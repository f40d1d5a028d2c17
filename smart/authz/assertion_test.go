package authz_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/client"
)

const (
	keyApp      = "key-app"
	serviceApp  = "https://warehouse.example/id"
	keysURL     = "https://warehouse.example/jwks.json"
	bearerType  = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	serviceWant = "system/Patient.rs system/Observation.r"
)

// testKeys are the private keys of the clients of these tests.
type testKeys struct {
	ec384, otherEC384, ec256 *ecdsa.PrivateKey
	rsa                      *rsa.PrivateKey
}

var theKeys = sync.OnceValue(func() testKeys {
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return testKeys{ec(elliptic.P384()), ec(elliptic.P384()), ec(elliptic.P256()), r}
})

// keyClients are clients with the keys ec, rsa and ec256; ec and rsa also share
// a kid, "both".
func keyClients() []client.Client {
	k := theKeys()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: k.ec384.Public(), KeyID: "ec"}, {Key: k.rsa.Public(), KeyID: "rsa"}, {Key: k.ec256.Public(), KeyID: "ec256"},
		{Key: k.ec384.Public(), KeyID: "both"}, {Key: k.rsa.Public(), KeyID: "both"},
		{Key: k.rsa.Public(), KeyID: "rs256", Algorithm: "RS256"},
	}})
	if err != nil {
		panic(err)
	}
	return []client.Client{
		{ID: keyApp, Name: "App with a key", Auth: client.PrivateKeyJWT, JWKS: set, RedirectURIs: []string{callback}},
		{ID: serviceApp, Name: "Warehouse", Auth: client.PrivateKeyJWT, JWKSURI: keysURL,
			Scopes: "system/Patient.rs system/Observation.cruds openid", Sources: []string{"demo"}},
		{ID: "wide", Name: "Wide", Auth: client.PrivateKeyJWT, JWKS: set, Scopes: "system/*.rs"},
	}
}

// allKeys answers for keys by URL too, as if they had been fetched.
type allKeys struct{}

func (allKeys) Keys(_ context.Context, c client.Client, kid string) ([]jose.JSONWebKey, error) {
	switch {
	case c.JWKSURI == "" && len(c.JWKS) > 0:
		keys, err := client.ParseJWKS(c.JWKS)
		return keys, err
	case kid == "down":
		return nil, errors.New("connection refused")
	}
	return []jose.JSONWebKey{{Key: theKeys().ec384.Public(), KeyID: "ec"}}, nil
}

func startWithKeys(t *testing.T, change func(h *harness, o *authz.Options)) *harness {
	t.Helper()
	return start(t, func(h *harness, o *authz.Options) {
		registry, err := client.NewStatic(client.Options{Clients: append(clients(), keyClients()...)})
		if err != nil {
			t.Fatal(err)
		}
		o.Clients, o.Keys = registry, allKeys{}
		if change != nil {
			change(h, o)
		}
	})
}

// jwtParts is an assertion before it is signed.
type jwtParts struct {
	header, claims map[string]any
	key            any
	alg            jose.SignatureAlgorithm
}

var jtis struct {
	sync.Mutex
	n int
}

// assertion is a good one, to be spoilt.
func (h *harness) assertion(id string, change func(j *jwtParts)) string {
	h.t.Helper()
	jtis.Lock()
	jtis.n++
	jti := fmt.Sprintf("jti-%d", jtis.n)
	jtis.Unlock()
	j := jwtParts{
		header: map[string]any{"typ": "JWT", "kid": "ec"},
		claims: map[string]any{"iss": id, "sub": id, "aud": h.base + "/oauth/token", "exp": h.Now().Add(5 * time.Minute).Unix(), "jti": jti},
		key:    theKeys().ec384, alg: jose.ES384,
	}
	if change != nil {
		change(&j)
	}
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for name, value := range j.header {
		if value != nil {
			o.ExtraHeaders[jose.HeaderKey(name)] = value
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: j.alg, Key: j.key}, o)
	if err != nil {
		h.t.Fatal(err)
	}
	for name, value := range j.claims {
		if value == nil {
			delete(j.claims, name)
		}
	}
	body, err := json.Marshal(j.claims)
	if err != nil {
		h.t.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

func withAssertion(f url.Values, assertion string) url.Values {
	f.Del("client_id")
	f.Set("client_assertion_type", bearerType)
	f.Set("client_assertion", assertion)
	return f
}

func (h *harness) service(assertion string, change func(f url.Values)) answer {
	f := withAssertion(url.Values{"grant_type": {"client_credentials"}, "scope": {serviceWant}, "resource": {h.base + "/fhir/demo"}}, assertion)
	if change != nil {
		change(f)
	}
	return h.token(f)
}

func TestAppsWithAKeyExchangeAndRefresh(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(j *jwtParts)
	}{
		{"ES384", nil},
		{"RS384", func(j *jwtParts) { j.alg, j.key, j.header["kid"] = jose.RS384, theKeys().rsa, "rsa" }},
		{"EC by kid and kty", func(j *jwtParts) { j.header["kid"] = "both" }},
		{"RSA by kid and kty", func(j *jwtParts) { j.alg, j.key, j.header["kid"] = jose.RS384, theKeys().rsa, "both" }},
		{"aud in a list", func(j *jwtParts) { j.claims["aud"] = []any{j.claims["aud"]} }},
		{"aud the issuer", func(j *jwtParts) { j.claims["aud"] = strings.TrimSuffix(j.claims["aud"].(string), "/oauth/token") }}, //nolint:errcheck // it is text
		{"with iat and nbf", func(j *jwtParts) { j.claims["iat"], j.claims["nbf"] = 0, 0 }},
		{"no typ", func(j *jwtParts) { j.header["typ"] = nil }},
		{"typ in small letters", func(j *jwtParts) { j.header["typ"] = "jwt" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := startWithKeys(t, nil)
			code := h.code(func(q url.Values) { q.Set("client_id", keyApp); q.Set("scope", offlineScopes) })
			got := h.token(withAssertion(exchange(code, nil), h.assertion(keyApp, c.change)))
			if got.status != http.StatusOK || got.text("id_token") == "" || got.text("patient") != "p1" {
				t.Fatalf("exchange: %d %s", got.status, got.raw)
			}
			h.advance(10 * time.Minute)
			f := withAssertion(refreshWith(got.text("refresh_token"), nil), h.assertion(keyApp, c.change))
			f.Set("client_id", keyApp) // may stand beside it (RFC 7521 §4.2)
			if got = h.token(f); got.status != http.StatusOK || got.text("id_token") == "" {
				t.Errorf("refresh: %d %s", got.status, got.raw)
			}
		})
	}
}

// unsigned puts an assertion together by hand.
func unsigned(header, claims, signature string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(claims)) + "." + signature
}

func TestRefusedAssertions(t *testing.T) {
	t.Parallel()
	claim := func(name string, value any) func(*jwtParts) {
		return func(j *jwtParts) { j.claims[name] = value }
	}
	head := func(name string, value any) func(*jwtParts) {
		return func(j *jwtParts) { j.header[name] = value }
	}
	now := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, c := range []struct {
		name   string
		change func(j *jwtParts)
		reason string // in the operator's log
	}{
		{"no kid", head("kid", nil), "no kid"},
		{"an unknown kid", head("kid", "other"), "0 keys"},
		{"the kid of a key of another type", head("kid", "rsa"), "0 keys"},
		{"the kid of a key on another curve", head("kid", "ec256"), "0 keys"},
		{"a key for another algorithm", func(j *jwtParts) { j.alg, j.key, j.header["kid"] = jose.RS384, theKeys().rsa, "rs256" }, "0 keys"},
		{"somebody else's key", func(j *jwtParts) { j.key = theKeys().otherEC384 }, "signature"},
		{"an empty typ", head("typ", ""), "typ"},
		{"typ of another purpose", head("typ", "oauth-authz-req+jwt"), "typ"},
		{"typ that is no text", head("typ", 1), "typ"},
		{"a jku that is not registered", head("jku", "https://evil.example/jwks.json"), "jku"},
		{"a jku that is no text", head("jku", []string{"x"}), "jku"},
		{"an empty jku", head("jku", ""), "jku"},
		{"RS256", func(j *jwtParts) { j.alg, j.key, j.header["kid"] = jose.RS256, theKeys().rsa, "rsa" }, "no signed JWT"},
		{"ES256", func(j *jwtParts) { j.alg, j.key, j.header["kid"] = jose.ES256, theKeys().ec256, "ec256" }, "no signed JWT"},
		{"PS384", func(j *jwtParts) { j.alg, j.key, j.header["kid"] = jose.PS384, theKeys().rsa, "rsa" }, "no signed JWT"},
		{"HS384 with the public key as secret", func(j *jwtParts) { j.alg, j.key = jose.HS384, []byte(strings.Repeat("k", 48)) }, "no signed JWT"},
		{"no iss", claim("iss", nil), "iss and sub"},
		{"no sub", claim("sub", nil), "iss and sub"},
		{"another sub", claim("sub", keyApp), "iss and sub"},
		{"another client", func(j *jwtParts) { j.claims["iss"], j.claims["sub"] = "wide2", "wide2" }, "unknown"},
		{"a client without a key", func(j *jwtParts) { j.claims["iss"], j.claims["sub"] = secretApp, secretApp }, "registered for"},
		{"a public client", func(j *jwtParts) { j.claims["iss"], j.claims["sub"] = publicApp, publicApp }, "registered for"},
		{"no aud", claim("aud", nil), "no aud"},
		{"an empty aud", claim("aud", []string{}), "no aud"},
		{"another aud", claim("aud", "https://other.example/oauth/token"), "aud"},
		{"aud with a slash", func(j *jwtParts) { j.claims["aud"] = fmt.Sprint(j.claims["aud"], "/") }, "aud"},
		{"aud of another endpoint", func(j *jwtParts) {
			j.claims["aud"] = strings.Replace(fmt.Sprint(j.claims["aud"]), "token", "authorize", 1)
		}, "aud"},
		{"aud of two servers", func(j *jwtParts) { j.claims["aud"] = []any{j.claims["aud"], "https://other.example"} }, "aud"},
		{"no exp", claim("exp", nil), "no exp"},
		{"exp as text", claim("exp", "1930367467"), "claims cannot be read"},
		{"exp now", claim("exp", at(0)), "expired"},
		{"exp in the past", claim("exp", at(-time.Minute)), "expired"},
		{"exp in six minutes", claim("exp", at(6*time.Minute)), "five minutes"},
		{"exp in an hour", claim("exp", at(time.Hour)), "five minutes"},
		{"exp beyond all numbers", claim("exp", 1e300), "claims cannot be read"},
		{"exp before all numbers", claim("exp", -1e300), "claims cannot be read"},
		{"iat before time", claim("iat", -1), "date"},
		{"nbf in a minute", claim("nbf", at(time.Minute)), "nbf"},
		{"iat in a minute", claim("iat", at(time.Minute)), "iat"},
		{"no jti", claim("jti", nil), "jti"},
		{"an empty jti", claim("jti", ""), "jti"},
		{"a jti without end", claim("jti", strings.Repeat("j", 513)), "jti"},
		{"a jti that is a number", claim("jti", 7), "claims cannot be read"},
		{"longer than 8 KiB", claim("x", strings.Repeat("x", 8<<10)), "longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := startWithKeys(t, nil)
			h.service(h.assertion("wide", c.change), nil).wantError(t, 401, "invalid_client")
			// The same words whatever is wrong.
			want := `{"error":"invalid_client","error_description":"The client is unknown or did not authenticate."}`
			if got := h.service(h.assertion("wide", c.change), nil); got.raw != want {
				t.Errorf("answer %s", got.raw)
			}
			if a, err := client.ReadAssertion(h.assertion("wide", c.change)); err != nil && !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want %q", err, c.reason)
			} else if err == nil && c.reason != "" && a.Issuer() == "" {
				t.Errorf("no issuer")
			}
		})
	}
}

func TestAssertionsPutTogetherByHandAreRefused(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, nil)
	good := h.assertion("wide", nil)
	parts := strings.Split(good, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"not a JWT":              "x.y.z",
		"empty parts":            "..",
		"two parts":              parts[0] + "." + parts[1],
		"none":                   unsigned(`{"alg":"none","typ":"JWT","kid":"ec"}`, string(claims), ""),
		"None":                   unsigned(`{"alg":"None","typ":"JWT","kid":"ec"}`, string(claims), parts[2]),
		"no signature":           parts[0] + "." + parts[1] + ".",
		"another signature":      parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-4] + "AAAA",
		"claims changed":         parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims), "jti-", "jtj-", 1))) + "." + parts[2],
		"two alg":                unsigned(`{"alg":"none","alg":"ES384","typ":"JWT","kid":"ec"}`, string(claims), parts[2]),
		"two iss":                unsigned(`{"alg":"ES384","typ":"JWT","kid":"ec"}`, `{"iss":"x",`+string(claims)[1:], parts[2]),
		"a critical extension":   unsigned(`{"alg":"ES384","typ":"JWT","kid":"ec","crit":["b64"],"b64":false}`, string(claims), parts[2]),
		"a key in its header":    unsigned(`{"alg":"ES384","typ":"JWT","kid":"ec","jwk":{"kty":"EC"}}`, string(claims), parts[2]),
		"JSON serialization":     `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"space around":           " " + good,
		"a line break":           good + "\n",
		"claims that are a list": unsigned(`{"alg":"ES384","typ":"JWT","kid":"ec"}`, `[]`, parts[2]),
	} {
		if got := h.service(text, nil); got.status != 401 || got.text("error") != "invalid_client" {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
	// All that did not use up the good one.
	if got := h.service(good, nil); got.status != http.StatusOK {
		t.Errorf("the good one: %d %s", got.status, got.raw)
	}
	h.service(good, nil).wantError(t, 401, "invalid_client")
}

func TestAssertionsThatDoNotFitTheRestOfTheRequest(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, nil)
	set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	for _, c := range []struct {
		name   string
		change func(f url.Values)
		status int
		code   string
	}{
		{"another client_id", set("client_id", keyApp), 401, "invalid_client"},
		{"another type", set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), 401, "invalid_client"},
		{"no type", func(f url.Values) { f.Del("client_assertion_type") }, 401, "invalid_client"},
		{"no assertion", func(f url.Values) { f.Del("client_assertion") }, 401, "invalid_client"},
		{"a secret as well", set("client_secret", "x"), 400, "invalid_request"},
		{"two assertions", func(f url.Values) { f.Add("client_assertion", "x") }, 400, "invalid_request"},
		{"another grant type", set("grant_type", "not_a_grant_type"), 400, "unsupported_grant_type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.service(h.assertion("wide", nil), c.change).wantError(t, c.status, c.code)
		})
	}
	req := h.request(http.MethodPost, "/oauth/token", withAssertion(url.Values{"grant_type": {"client_credentials"}}, h.assertion("wide", nil)))
	req.SetBasicAuth("wide", "x")
	h.call(req).wantError(t, 400, "invalid_request")
	// A client with a key cannot do without it.
	f := url.Values{"grant_type": {"client_credentials"}, "scope": {serviceWant}, "client_id": {"wide"}}
	h.token(f).wantError(t, 401, "invalid_client")
	f.Set("client_secret", "")
	h.token(f).wantError(t, 401, "invalid_client")
	// Keys at a URL: a jku may name it, and when it is down nothing goes.
	if got := h.service(h.assertion(serviceApp, func(j *jwtParts) { j.header["jku"] = keysURL }), nil); got.status != http.StatusOK {
		t.Errorf("the registered jku: %s", got.raw)
	}
	h.service(h.assertion(serviceApp, func(j *jwtParts) { j.header["kid"] = "down" }), nil).wantError(t, 401, "invalid_client")
}

func TestFiftyUsesOfOneAssertionGiveOneToken(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, nil)
	assertion := h.assertion("wide", nil)
	answers := make([]answer, 50)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = h.service(assertion, nil) })
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusOK {
			won++
		} else {
			a.wantError(t, 401, "invalid_client")
		}
	}
	if won != 1 {
		t.Errorf("%d tokens for one assertion", won)
	}
}

type brokenUsed struct{}

func (brokenUsed) UseAssertion(context.Context, string, string, time.Time) error { return errDisk }

func TestAssertionsThatCannotBeRememberedAreRefused(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, func(_ *harness, o *authz.Options) { o.Used = brokenUsed{} })
	h.service(h.assertion("wide", nil), nil).wantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
}
