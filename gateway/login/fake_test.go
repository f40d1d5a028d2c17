package login_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/portico-fhir/portico/gateway/login"
)

// provider is an OpenID provider that signs everybody in without asking and
// lies as a test wants. Left alone it does everything right.
type provider struct {
	*httptest.Server
	issuer string
	clock  *clock

	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	kid    string
	public []jose.JSONWebKey // what it publishes
	asked  url.Values        // the last authorization request
	tokens int               // token requests

	discovery func(map[string]any)               // changes the discovery document
	answer    func(url.Values)                   // changes the authorization response
	claims    func(map[string]any)               // changes the id_token
	sign      func(claims map[string]any) string // in place of ES256 with key
	response  func(map[string]any)               // changes the token response
	token     http.HandlerFunc                   // in place of the token endpoint
	userinfo  http.HandlerFunc
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rotate signs with a new key from now on and publishes it alone.
func (p *provider) rotate(t *testing.T, kid string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.kid = newKey(t), kid
	p.public = []jose.JSONWebKey{{Key: p.key.Public(), KeyID: kid, Algorithm: "ES256", Use: "sig"}}
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		doc := map[string]any{
			"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token",
			"jwks_uri": p.issuer + "/keys", "userinfo_endpoint": p.issuer + "/userinfo",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "response_types_supported": []string{"code"},
		}
		if p.discovery != nil {
			p.discovery(doc)
		}
		writeJSON(w, doc)
	case "/keys":
		writeJSON(w, jose.JSONWebKeySet{Keys: p.public})
	case "/authorize":
		p.asked = r.URL.Query()
		answer := url.Values{"code": {"the-code"}, "state": {p.asked.Get("state")}}
		if p.answer != nil {
			p.answer(answer)
		}
		http.Redirect(w, r, p.asked.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
	case "/token":
		p.tokens++
		if p.token != nil {
			p.token(w, r)
			return
		}
		p.exchange(w, r)
	case "/elsewhere": // where a redirected token request would arrive
		p.tokens++
		p.exchange(w, r)
	case "/userinfo":
		if p.userinfo == nil {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		p.userinfo(w, r)
	default:
		http.NotFound(w, r)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// exchange is the token endpoint; it holds the client to secret and PKCE.
func (p *provider) exchange(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case id != "portico" || secret != "s3cret":
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	case r.PostFormValue("code") != "the-code", r.PostFormValue("redirect_uri") != p.asked.Get("redirect_uri"),
		p.asked.Get("code_challenge_method") != "S256",
		base64.RawURLEncoding.EncodeToString(sum[:]) != p.asked.Get("code_challenge"):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"for Maria Delgado"}`))
		return
	}
	now := p.clock.Now()
	claims := map[string]any{
		"iss": p.issuer, "sub": "s-1", "aud": "portico", "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(),
		"nonce": p.asked.Get("nonce"), "name": "Maria Delgado", "fhirUser": "Patient/p1",
	}
	if p.claims != nil {
		p.claims(claims)
	}
	signed := ""
	if p.sign != nil {
		signed = p.sign(claims)
	} else {
		signed = signES256(p.key, p.kid, encode(claims))
	}
	body := map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": signed}
	if p.response != nil {
		p.response(body)
	}
	writeJSON(w, body)
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

func signES256(key *ecdsa.PrivateKey, kid string, payload []byte) string {
	return signWith(jose.ES256, key, kid, payload)
}

func signWith(alg jose.SignatureAlgorithm, key any, kid string, payload []byte) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		panic(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return out
}

// signHS256 is written by hand: the library refuses so short a key.
func signHS256(key, payload []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// unsigned writes a token with alg none, spelled as asked.
func unsigned(alg string, payload []byte) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}

func publicPEM(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// withFake is Portico in front of a fake provider.
func withFake(t *testing.T, change func(*provider), configure func(*login.Provider)) (*site, *provider) {
	t.Helper()
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	at, issuer := listen(t, false)
	p := &provider{Server: at, issuer: issuer, clock: c}
	p.rotate(t, "k1")
	if change != nil {
		change(p)
	}
	at.Config.Handler = p
	at.Start()
	configured := login.Provider{
		ID: "fake", Name: "Fake Health", Issuer: issuer, ClientID: "portico", ClientSecret: "s3cret",
		Sources: []string{"north"}, Claims: []string{"fhirUser"}, HTTPClient: at.Client(),
	}
	if configure != nil {
		configure(&configured)
	}
	srv, public := listen(t, false)
	return open(t, srv, public, c, nil, configured), p
}

// withFakes is Portico in front of two providers: another one, and the usual
// fake that serves "south" too.
func withFakes(t *testing.T, another func(*clock) login.Provider) (*site, *provider) {
	t.Helper()
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	at, issuer := listen(t, false)
	p := &provider{Server: at, issuer: issuer, clock: c}
	p.rotate(t, "k1")
	at.Config.Handler = p
	at.Start()
	srv, public := listen(t, false)
	return open(t, srv, public, c, nil, another(c), login.Provider{
		ID: "fake", Name: "Fake Health", Issuer: issuer, ClientID: "portico", ClientSecret: "s3cret",
		Sources: []string{"north", "south"}, HTTPClient: at.Client(),
	}), p
}

// refused makes sure that a sign-in ended with a page and nothing else.
func refused(t *testing.T, s *site, b *browser, p page, status int, text string) {
	t.Helper()
	p.want(t, status, "PROBLEM")
	p.want(t, status, text)
	if s.sessions.Len() != 0 || len(s.enroller.calls) != 0 {
		t.Error("somebody was signed in")
	}
	if who := s.who(b, "north"); !strings.HasPrefix(who, "false") {
		t.Errorf("who: %s", who)
	}
	for _, secret := range []string{"Maria", "s3cret", "the-code", "Patient/p1"} {
		if strings.Contains(p.body, secret) {
			t.Errorf("the page holds %q: %s", secret, p.body)
		}
	}
}
