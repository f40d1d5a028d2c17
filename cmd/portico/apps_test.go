package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/portico-fhir/portico/config"
)

// An app that registers the URL of its keys: they are fetched once, its
// assertions are good, and what lies inside stays out of reach where the
// configuration does not open it.
func TestKeysByURLFromRegistrationToToken(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=60")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	}))
	defer site.Close()

	for name, c := range map[string]struct {
		open  string
		asked int64
		ok    bool
	}{
		"allowed": {"outside: {allow_addresses: [127.0.0.1], insecure_plain_http: true}\n", 1, true},
		"closed":  {"outside: {insecure_plain_http: true}\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			s := serveApps(t, "registration: {mode: approve_all}\n"+c.open)
			// A name, which cannot be judged before it is resolved.
			keys := strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
			if c.ok {
				keys = site.URL
			}
			status, raw := s.post("/oauth/register", "application/json", fmt.Sprintf(`{"client_name":"A","token_endpoint_auth_method":"private_key_jwt",
				"grant_types":["client_credentials"],"scope":"system/Patient.rs","jwks_uri":%q}`, keys), "", "")
			var made struct {
				ID string `json:"client_id"`
			}
			if err := json.Unmarshal([]byte(raw), &made); err != nil || status != http.StatusCreated {
				t.Fatalf("%d %s %v", status, raw, err)
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES384, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
					Issuer: made.ID, Subject: made.ID, Audience: jwt.Audience{s.base + "/oauth/token"}, ID: fmt.Sprint(i),
					Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)),
				}).Serialize()
				if err != nil {
					t.Fatal(err)
				}
				form := url.Values{
					"grant_type": {"client_credentials"}, "scope": {"system/Patient.rs"}, "client_assertion": {assertion},
					"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
				}
				if status, raw := s.post("/oauth/token", "application/x-www-form-urlencoded", form.Encode(), "", ""); (status == http.StatusOK) != c.ok {
					t.Errorf("token: %d %s", status, raw)
				}
				_, raw := s.post("/oauth/developer/check-assertion", "application/x-www-form-urlencoded", form.Encode(), "", "")
				if strings.Contains(raw, `"ok":true`) != c.ok || (!c.ok && !strings.Contains(raw, "may not be fetched")) {
					t.Errorf("check: %s", raw)
				}
			}
			if got := asked.Load(); got != c.asked {
				t.Errorf("the keys were asked for %d times, want %d", got, c.asked)
			}
		})
	}
}

// What the configuration takes, the registry takes, and the other way round.
func TestClientsOfTheConfiguration(t *testing.T) {
	path := writeConfig(t, 8080, `clients:
  - {id: cli, name: CLI, type: public, redirect_uris: ["http://localhost/callback"], any_loopback_port: true, scopes: [openid, patient/Observation.rs]}
`)
	cfg, err := config.LoadWith(path, checks())
	if err != nil {
		t.Fatal(err)
	}
	static, err := registry(cfg.Clients)
	if err != nil {
		t.Fatal(err)
	}
	app, err := static.Client(t.Context(), "cli")
	if err != nil || !app.AllowsRedirect("http://localhost:49152/callback") || app.AllowsRedirect("http://127.0.0.1:49152/callback") {
		t.Errorf("%+v, %v", app, err)
	}

	path = writeConfig(t, 8080, `clients:
  - id: web
    name: Web
    type: public
    redirect_uris: ["https://app.example/cb"]
    scopes:
      - openid
      - patient/Observation.read
      - patient/observation.rs
      - patient/Observation.sr
      - email
`)
	_, err = config.LoadWith(path, checks())
	var problems *config.Error
	if !errors.As(err, &problems) || len(problems.Problems) != 3 {
		t.Fatalf("%v", err)
	}
	for i, want := range []string{"patient/observation.rs", "patient/Observation.sr", "email"} {
		if p := problems.Problems[i]; p.Line != 17+i || p.Column != 9 || !strings.Contains(p.Text, want) {
			t.Errorf("%v, want line %d and %s", p, 17+i, want)
		}
	}
}
