package connect_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/portico-fhir/portico/gateway/upstream/connect"
	"github.com/portico-fhir/portico/internal/fault"
)

// authority is an EHR's authorization server that takes nothing amiss.
type authority struct {
	t      *testing.T
	url    string
	id     string
	secret string                                   // of client_secret_basic or _post
	inBody bool                                     // the latter
	keys   func() jose.JSONWebKeySet                // of private_key_jwt
	scopes string                                   // that must be asked for
	answer func(http.ResponseWriter, *http.Request) // in place of a token

	mu    sync.Mutex
	jtis  map[string]bool
	given int
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, id: "portico", jtis: map[string]bool{}}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	a.url = srv.URL
	return a
}

// ServeHTTP refuses whatever RFC 6749, RFC 7523 or SMART Backend Services would.
func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/fhir/.well-known/smart-configuration" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"token_endpoint": %q}`, a.url+"/token")
		return
	}
	if why := a.check(r); why != "" {
		a.t.Log("refused: " + why)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"secret details"}`)
		return
	}
	if a.answer != nil {
		a.answer(w, r)
		return
	}
	a.mu.Lock()
	a.given++
	n := a.given
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_, _ = fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":300}`, n)
}

func (a *authority) check(r *http.Request) string {
	for name := range r.Header {
		if !slices.Contains([]string{"Authorization", "Accept", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent"}, name) {
			return "a header it does not need: " + name
		}
	}
	if r.Method != http.MethodPost || r.URL.Path != "/token" || r.URL.RawQuery != "" || r.ParseForm() != nil {
		return "no form posted to the endpoint"
	}
	allowed := []string{"grant_type", "scope"}
	user, password, basic := r.BasicAuth()
	switch {
	case a.keys != nil:
		allowed = append(allowed, "client_assertion", "client_assertion_type")
		if why := a.checkAssertion(r.PostForm); why != "" || r.Header.Get("Authorization") != "" {
			return "assertion: " + why
		}
	case a.inBody:
		allowed = append(allowed, "client_id", "client_secret")
		if basic || r.PostForm.Get("client_id") != a.id || r.PostForm.Get("client_secret") != a.secret {
			return "client_secret_post"
		}
	default:
		id, errID := url.QueryUnescape(user)
		secret, errSecret := url.QueryUnescape(password) // RFC 6749 §2.3.1
		if !basic || errID != nil || errSecret != nil || id != a.id || secret != a.secret {
			return "client_secret_basic"
		}
	}
	for name, values := range r.PostForm {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			return "parameter " + name
		}
	}
	if r.PostForm.Get("grant_type") != "client_credentials" || r.PostForm.Get("scope") != a.scopes {
		return "grant_type or scope"
	}
	return ""
}

// checkAssertion follows SMART App Launch 2.2, "Client authentication: asymmetric".
func (a *authority) checkAssertion(form url.Values) string {
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return "type"
	}
	signed, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS384, jose.ES384})
	if err != nil || len(signed.Headers) != 1 {
		return fmt.Sprint("algorithm: ", err)
	}
	head := signed.Headers[0]
	set := a.keys()
	keys := set.Key(head.KeyID)
	if head.KeyID == "" || len(keys) != 1 || head.ExtraHeaders[jose.HeaderType] != "JWT" {
		return "kid or typ"
	}
	var claims jwt.Claims
	if err := signed.Claims(keys[0].Key, &claims); err != nil {
		return err.Error()
	}
	now := time.Now()
	switch {
	case claims.Issuer != a.id || claims.Subject != a.id:
		return "iss or sub"
	case len(claims.Audience) != 1 || claims.Audience[0] != a.url+"/token":
		return "aud"
	case claims.Expiry == nil || !claims.Expiry.Time().After(now) || claims.Expiry.Time().After(now.Add(5*time.Minute)):
		return "exp"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(claims.ID) < 16 || a.jtis[claims.ID] {
		return "jti"
	}
	a.jtis[claims.ID] = true
	return ""
}

func writePEM(t *testing.T, path string, keys ...any) {
	t.Helper()
	var out []byte
	for _, k := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newEC(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fileKeys(t *testing.T, c *clock, keys ...any) (*connect.FileKeys, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.pem")
	writePEM(t, path, keys...)
	k, err := connect.OpenKeys(path, c.now, func(err error) { t.Log(err) })
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func jwks(t *testing.T, k *connect.FileKeys) jose.JSONWebKeySet {
	t.Helper()
	set, err := k.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestTokensAreHadWithEachKindOfCredential(t *testing.T) {
	c := newClock()
	ec, _ := fileKeys(t, c, newEC(t, elliptic.P384()))
	rsaKeys, _ := fileKeys(t, c, newRSA(t, 2048))
	for name, tt := range map[string]struct {
		server func(*authority)
		client func(*connect.ClientOptions)
	}{
		"secret in the header": {func(a *authority) { a.secret = "s:e c%r&t+" }, func(o *connect.ClientOptions) { o.Secret = "s:e c%r&t+" }},
		"secret in the body":   {func(a *authority) { a.secret, a.inBody = "s:e&t", true }, func(o *connect.ClientOptions) { o.Secret, o.InBody = "s:e&t", true }},
		"key on P-384":         {func(a *authority) { a.keys = func() jose.JSONWebKeySet { return jwks(t, ec) } }, func(o *connect.ClientOptions) { o.Signer = ec }},
		"RSA key":              {func(a *authority) { a.keys = func() jose.JSONWebKeySet { return jwks(t, rsaKeys) } }, func(o *connect.ClientOptions) { o.Signer, o.Alg = rsaKeys, "RS384" }},
		"scopes":               {func(a *authority) { a.secret, a.scopes = "s", "system/*.rs launch" }, func(o *connect.ClientOptions) { o.Secret, o.Scopes = "s", []string{"system/*.rs", "launch"} }},
	} {
		for _, discovered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, discovered %v", name, discovered), func(t *testing.T) {
				a := newAuthority(t)
				tt.server(a)
				o := connect.ClientOptions{Next: plain(t), ClientID: "portico", TokenURL: a.url + "/token"}
				if discovered {
					o.TokenURL, o.Base, o.Discover = "", baseOf(t, a.url+"/fhir"), plain(t)
				}
				tt.client(&o)
				fetch, err := connect.NewFetcher(o)
				if err != nil {
					t.Fatal(err)
				}
				for want := 1; want <= 2; want++ { // twice: a jti is good once
					got, err := fetch(t.Context())
					if err != nil || got.Value != fmt.Sprint("Bearer t", want) || got.Lifetime < 4*time.Minute || got.Lifetime > 5*time.Minute {
						t.Fatalf("%+v, %v", got, err)
					}
				}
			})
		}
	}
}

func TestWhatATokenEndpointMayAnswerAmiss(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(thief.Close)
	say := func(status int, kind, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
		},
		"a page":                 say(200, "text/html", "<p>access_token=x"),
		"a form":                 say(200, "text/plain", "access_token=x&token_type=bearer"),
		"an error with 200":      say(200, "application/json", `{"error":"invalid_scope"}`),
		"no token":               say(200, "application/json", `{"token_type":"bearer"}`),
		"another type":           say(200, "application/json", `{"access_token":"x","token_type":"mac"}`),
		"no type":                say(200, "application/json", `{"access_token":"x"}`),
		"a token with a break":   say(200, "application/json", `{"access_token":"x\r\nX-Api-Key: y","token_type":"bearer"}`),
		"half":                   say(200, "application/json", `{"access_token":"x","tok`),
		"more than a megabyte":   say(200, "application/json", `{"access_token":"`+strings.Repeat("x", 2<<20)+`","token_type":"bearer"}`),
		"a crash with our words": say(500, "text/html", "secret details of "+strings.Repeat("x", 500)),
		"hanging up":             func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			a.secret, a.answer = "s3cr3t", answer
			fetch, err := connect.NewFetcher(connect.ClientOptions{Next: plain(t), ClientID: "portico", Secret: "s3cr3t", TokenURL: a.url + "/token"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := fetch(t.Context())
			if err == nil {
				t.Fatalf("%+v", got)
			}
			for _, word := range []string{"s3cr3t", "secret details", "127.0.0.1", thief.URL} {
				if strings.Contains(err.Error(), word) {
					t.Errorf("the error says %q: %v", word, err)
				}
			}
		})
	}
}

func TestARefusalTellsItsCodeAndWhenToAskAgain(t *testing.T) {
	a := newAuthority(t)
	a.secret = "s"
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "77")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":"slow_down"}`)
	}
	fetch, err := connect.NewFetcher(connect.ClientOptions{Next: plain(t), ClientID: "portico", Secret: "s", TokenURL: a.url + "/token"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t.Context()); fault.RetryAfterOf(err) != 77*time.Second || !strings.Contains(err.Error(), "429, slow_down") {
		t.Errorf("%v after %v", err, fault.RetryAfterOf(err))
	}
}

func TestADiscoveredTokenEndpointIsAtTheEHRsOwnOrigin(t *testing.T) {
	up := httptest.NewServer(nil)
	t.Cleanup(up.Close)
	host := strings.TrimPrefix(up.URL, "http://")
	for _, endpoint := range []string{
		"https://evil.example.org/token", "https://" + host + "/token", "http://" + host + ".evil.org/token", "http://" + host + "@evil.org/token",
		"http://user@" + host + "/token", "http://127.0.0.1:1/token", "//" + host + "/token", "/token", "token", "", "javascript:x", `http://` + host + `\@evil.org`,
		"http://" + host + "/token#x", "file:///etc/passwd",
	} {
		up.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				t.Errorf("asked at %q", endpoint)
			}
			raw, _ := json.Marshal(map[string]string{"token_endpoint": endpoint})
			_, _ = w.Write(raw)
		})
		fetch, err := connect.NewFetcher(connect.ClientOptions{
			Next: roundTripper(func(r *http.Request) (*http.Response, error) {
				t.Errorf("%q: the credentials went to %s", endpoint, r.URL)
				return nil, io.EOF
			}), Discover: plain(t), Base: baseOf(t, up.URL+"/fhir"), ClientID: "portico", Secret: "s",
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fetch(t.Context()); err == nil {
			t.Errorf("%q: %+v", endpoint, got)
		}
	}
}

func TestKeysRotateInTheirFileWithoutAGap(t *testing.T) {
	c := newClock()
	old, fresh := newRSA(t, 2048), newEC(t, elliptic.P384())
	keys, path := fileKeys(t, c, old)
	a := newAuthority(t)
	a.keys = func() jose.JSONWebKeySet { return jwks(t, keys) }
	fetch, err := connect.NewFetcher(connect.ClientOptions{Next: plain(t), ClientID: "portico", Signer: keys, TokenURL: a.url + "/token"})
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		keys   []any
		signs  string
		public int
	}{{[]any{old}, "RS384", 1}, {[]any{old, fresh}, "RS384", 2}, {[]any{fresh, old}, "ES384", 2}, {[]any{fresh}, "ES384", 1}}
	for i, s := range steps {
		writePEM(t, path, s.keys...)
		future := time.Now().Add(time.Duration(i) * time.Hour) // file systems may keep whole seconds
		if err := os.Chtimes(path, future, future); err != nil {
			t.Fatal(err)
		}
		c.pass(2 * time.Second)
		if _, err := fetch(t.Context()); err != nil || keys.Alg() != s.signs || len(jwks(t, keys).Keys) != s.public {
			t.Errorf("step %d: %v, signs %s, %d public", i, err, keys.Alg(), len(jwks(t, keys).Keys))
		}
	}
	if err := os.WriteFile(path, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.pass(2 * time.Second)
	if _, err := fetch(t.Context()); err != nil {
		t.Errorf("a broken file ended what worked: %v", err)
	}
	raw, err := json.Marshal(jwks(t, keys))
	if err != nil || strings.Contains(string(raw), `"d"`) || strings.Contains(string(raw), `"p"`) {
		t.Errorf("the private key is public: %v", err)
	}
}

func TestKeysThatAreNotGoodEnoughAreRefused(t *testing.T) {
	for name, key := range map[string]any{"RSA of 1024 bits": newRSA(t, 1024), "EC on P-256": newEC(t, elliptic.P256())} {
		path := filepath.Join(t.TempDir(), "k.pem")
		writePEM(t, path, key)
		if _, err := connect.OpenKeys(path, time.Now, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, text := range map[string]string{"empty": "", "no PEM": "x", "a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		path := filepath.Join(t.TempDir(), "k.pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := connect.OpenKeys(path, time.Now, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestClientsThatCannotWorkAreRefused(t *testing.T) {
	good := connect.ClientOptions{Next: plain(t), ClientID: "c", Secret: "s", TokenURL: "https://a/token"}
	keys, _ := fileKeys(t, newClock(), newEC(t, elliptic.P384()))
	for name, spoil := range map[string]func(*connect.ClientOptions){
		"nothing to ask":     func(o *connect.ClientOptions) { o.Next = nil },
		"no id":              func(o *connect.ClientOptions) { o.ClientID = "" },
		"no credential":      func(o *connect.ClientOptions) { o.Secret = "" },
		"two credentials":    func(o *connect.ClientOptions) { o.Signer = keys },
		"a weak algorithm":   func(o *connect.ClientOptions) { o.Secret, o.Signer, o.Alg = "", keys, "HS256" },
		"nowhere to ask for": func(o *connect.ClientOptions) { o.TokenURL = "" },
	} {
		o := good
		spoil(&o)
		if _, err := connect.NewFetcher(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
