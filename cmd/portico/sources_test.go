package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/smart/token"
)

// hospital is an EHR that remembers what it was sent.
type hospital struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

// requests gives what came since the last time.
func (h *hospital) requests() []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.seen
	h.seen = nil
	return out
}

// newHospital starts one in which both patients have the ids of the other's.
func newHospital(t *testing.T, name, bearer string, secure bool) *hospital {
	t.Helper()
	inner := ehr.New(ehr.Options{Bearer: bearer})
	for _, id := range []string{"p", "q"} {
		rows := []string{fmt.Sprintf(`{"resourceType":"Patient","id":%q,"name":[{"family":"%s-%s"}]}`, id, name, id)}
		for i := range 5 {
			rows = append(rows, fmt.Sprintf(`{"resourceType":"Observation","id":"%s-o%d","status":"final","code":{"text":"of %s-%s"},"subject":{"reference":"Patient/%s"}}`, id, i, name, id, id))
		}
		for _, raw := range rows {
			if err := inner.Load([]byte(raw)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h := &hospital{}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.seen = append(h.seen, r.Clone(context.Background()))
		h.mu.Unlock()
		inner.ServeHTTP(w, r)
	}))
	if secure {
		h.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
		h.StartTLS()
	} else {
		h.Start()
	}
	t.Cleanup(h.Close)
	return h
}

// asked gives how many requests there were.
func (h *hospital) asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

// tokenServer gives north-token for an assertion that is right, and keeps what came.
type tokenServer struct {
	*httptest.Server
	mu      sync.Mutex
	headers []http.Header
	certs   int
	jwks    func() jose.JSONWebKeySet
}

func newTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	s := &tokenServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.headers = append(s.headers, r.Header.Clone())
		s.certs += len(r.TLS.PeerCertificates)
		s.mu.Unlock()
		signed, err := jwt.ParseSigned(r.PostFormValue("client_assertion"), []jose.SignatureAlgorithm{jose.RS384, jose.ES384})
		if err != nil {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		var claims jwt.Claims
		set := s.jwks()
		keys := set.Key(signed.Headers[0].KeyID)
		if len(keys) != 1 || signed.Claims(keys[0].Key, &claims) != nil || !slices.Equal(claims.Audience, jwt.Audience{s.URL + "/token"}) || claims.Subject != "portico-at-north" {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"north-token","token_type":"bearer","expires_in":300}`)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

const twoSources = `
public_url: http://localhost:8080
store: {sqlite: p.sqlite}
seal_key: {env: SOURCES_TEST_SEAL}
identity_providers:
  - {id: one, issuer: "http://localhost:1", client_id: portico}
sources:
  - id: north
    name: North Hospital
    fhir_base: %[1]s/fhir
    auth: {type: client_credentials, client_id: portico-at-north, token_url: "%[2]s/token", key: jwt, alg: ES384}
    tls: {ca_file: ca.pem, cert_file: tls.crt, key_file: tls.key}
    headers: [{name: X-Api-Key, value: {env: SOURCES_TEST_API}}]
    max_page_size: 2
  - id: south
    name: South Hospital
    fhir_base: %[3]s/fhir
    auth: {type: bearer, token: {env: SOURCES_TEST_SOUTH}}
    max_page_size: 2
  - id: stranger
    name: North again, by somebody who does not trust its authority
    profile: naive
    fhir_base: %[1]s/fhir
clients:
  - {id: app, name: App, type: public, redirect_uris: ["http://127.0.0.1:1/cb"]}
`

// twin is Portico over both.
type twin struct {
	t            *testing.T
	app          *app
	north, south *hospital
	tokens       *tokenServer
	bearer       map[string]string
}

func startTwin(t *testing.T) *twin {
	t.Helper()
	w := &twin{t: t, north: newHospital(t, "north", "north-token", true), south: newHospital(t, "south", "south-token", false), tokens: newTokenServer(t), bearer: map[string]string{}}
	dir := t.TempDir()
	writeCert(t, dir, "portico", time.Now().Add(time.Hour), nil) // the client certificate
	t.Setenv("SOURCES_TEST_SEAL", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	t.Setenv("SOURCES_TEST_API", "north-api-key")
	t.Setenv("SOURCES_TEST_SOUTH", "south-token")
	var ca []byte
	for _, c := range []*x509.Certificate{w.north.Certificate(), w.tokens.Certificate()} {
		ca = append(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	for name, data := range map[string][]byte{"ca.pem": ca, "portico.yaml": fmt.Appendf(nil, twoSources, w.north.URL, w.tokens.URL, w.south.URL)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.LoadWith(filepath.Join(dir, "portico.yaml"), checks())
	if err != nil {
		t.Fatal(err)
	}
	if w.app, err = build(t.Context(), cfg, quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.app.Close(context.Background()) })
	w.tokens.jwks = func() jose.JSONWebKeySet { return w.jwks("north") }
	for _, source := range []string{"north", "south", "stranger"} {
		w.bearer[source] = w.grant(source)
	}
	return w
}

// grant is what consent would make: the same app and the same patient id at each.
func (w *twin) grant(source string) string {
	w.t.Helper()
	return grantAt(w.t, w.app, source, "p")
}

// grantAt gives a token for a patient's record at a source.
func grantAt(t *testing.T, a *app, source, patient string) string {
	t.Helper()
	now := time.Now()
	secret, digest := token.NewSecret(rand.Reader)
	_, code := token.NewSecret(rand.Reader)
	g := token.Grant{
		ID: "grant-" + source, Client: "app", Source: source, Patient: patient, PersonIssuer: "iss", PersonSubject: "sub", FHIRUser: "Patient/" + patient,
		Scopes: "patient/*.rs", AuthTime: now, Created: now, Expires: now.Add(time.Hour),
	}
	if patient != "p" {
		g.ID += "-" + patient
	}
	if err := a.parts.store.CreateGrant(t.Context(), g, token.Code{Digest: code, RedirectURI: "urn:none", Challenge: "none", Expires: now.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if err := a.parts.store.CreateAccess(t.Context(), g.ID, token.Access{Digest: digest, Scopes: g.Scopes, Issued: now, Expires: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	return secret
}

func (w *twin) get(path, bearer string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	out := httptest.NewRecorder()
	w.app.Handler.ServeHTTP(out, r)
	return out
}

func (w *twin) jwks(source string) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	_ = json.Unmarshal(w.get("/.well-known/backend/"+source+"/jwks.json", "").Body.Bytes(), &set)
	return set
}

// link gives the next link of a page.
func link(t *testing.T, body string) string {
	t.Helper()
	var page struct {
		Link []struct{ Relation, URL string }
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	for _, l := range page.Link {
		if l.Relation == "next" {
			return strings.TrimPrefix(l.URL, "http://localhost:8080")
		}
	}
	t.Fatalf("no next link: %s", body)
	return ""
}

func TestNothingOfOneSourceReachesAnother(t *testing.T) {
	w := startTwin(t)
	// What is each source's own works.
	next := map[string]string{}
	for _, source := range []string{"north", "south"} {
		r := w.get("/fhir/"+source+"/Observation?_count=2", w.bearer[source])
		other := map[string]string{"north": "south", "south": "north"}[source]
		if r.Code != http.StatusOK || !strings.Contains(r.Body.String(), "of "+source+"-p") || strings.Contains(r.Body.String(), other) {
			t.Fatalf("%s: %d %s", source, r.Code, r.Body)
		}
		next[source] = link(t, r.Body.String())
		if r := w.get(next[source], w.bearer[source]); r.Code != http.StatusOK || !strings.Contains(r.Body.String(), "of "+source+"-p") {
			t.Fatalf("%s, page 2: %d %s", source, r.Code, r.Body)
		}
	}
	// A token is for its source alone.
	for _, path := range []string{"/Observation", "/Patient/p", "/Observation/p-o1", "/Patient/p/$everything"} {
		for source, bearer := range w.bearer {
			for _, at := range []string{"north", "south", "stranger"} {
				if r := w.get("/fhir/"+at+path, bearer); at != source && r.Code != http.StatusUnauthorized {
					t.Errorf("a token of %s at %s%s: %d", source, at, path, r.Code)
				}
			}
		}
	}
	// A link is for its source alone, though app, patient and type are the same.
	for from, at := range map[string]string{"north": "south", "south": "north"} {
		moved := strings.Replace(next[from], "/fhir/"+from, "/fhir/"+at, 1)
		if r := w.get(moved, w.bearer[at]); r.Code != http.StatusNotFound {
			t.Errorf("a link of %s at %s: %d %s", from, at, r.Code, r.Body)
		}
	}
	// The audit says where.
	events, err := w.app.parts.store.Events(t.Context(), audit.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]int{}
	for _, e := range events {
		if e.Grant != "grant-"+e.Source {
			t.Errorf("an event of %s for %s", e.Grant, e.Source)
		}
		by[e.Source]++
	}
	if by["north"] == 0 || by["south"] == 0 {
		t.Errorf("events by source: %v", by)
	}
}

func TestTheStatusOfASourceNamesItsProfile(t *testing.T) {
	w := startTwin(t)
	got := map[string]string{}
	for _, s := range w.app.parts.sourcesNow() {
		got[s.ID] = s.Profile
	}
	if want := map[string]string{"north": "generic", "south": "generic", "stranger": "naive"}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	s := serveApps(t, "")
	code, out, errs := runFor(t, "sources", "status", "-config", s.path)
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) < 2 || strings.Fields(lines[0])[1] != "PROFILE" || strings.Fields(lines[1])[1] != "generic" {
		t.Errorf("%d %q %q", code, out, errs)
	}
}

func TestCredentialsHeadersAndCertificatesAreOfTheirSourceAlone(t *testing.T) {
	w := startTwin(t)
	for _, source := range []string{"north", "south"} {
		if r := w.get("/fhir/"+source+"/Observation", w.bearer[source]); r.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", source, r.Code, r.Body)
		}
	}
	for _, r := range w.north.requests() {
		if r.Header.Get("Authorization") != "Bearer north-token" || r.Header.Get("X-Api-Key") != "north-api-key" || len(r.TLS.PeerCertificates) != 1 {
			t.Errorf("north got %v and %d certificates", r.Header, len(r.TLS.PeerCertificates))
		}
	}
	south := w.south.requests()
	for _, r := range south {
		if r.Header.Get("Authorization") != "Bearer south-token" || strings.Contains(fmt.Sprint(r.Header), "north") {
			t.Errorf("south got %v", r.Header)
		}
	}
	if len(south) == 0 {
		t.Error("south was not asked")
	}
	if len(w.tokens.headers) != 1 || w.tokens.headers[0].Get("X-Api-Key") != "" || w.tokens.headers[0].Get("Authorization") != "" || w.tokens.certs != 1 {
		t.Errorf("the token endpoint got %v and %d certificates", w.tokens.headers, w.tokens.certs)
	}
	// The same server by a source that does not trust its authority.
	if r := w.get("/fhir/stranger/Observation", w.bearer["stranger"]); r.Code != http.StatusServiceUnavailable || len(w.north.requests()) != 0 {
		t.Errorf("without its authority: %d %s", r.Code, r.Body)
	}
	if s := w.app.parts.ways["stranger"].State(); s.LastError != "tls" {
		t.Errorf("%+v", s)
	}
	if s := w.app.parts.ways["north"].State(); s.LastError != "" || s.LastSuccess.IsZero() || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	// The keys for signing in at north, their public parts alone, are for whom they
	// are meant.
	set := w.jwks("north")
	if len(set.Keys) != 2 || len(w.jwks("south").Keys) != 0 || w.get("/.well-known/backend/south/jwks.json", "").Code != http.StatusNotFound {
		t.Errorf("%+v", set)
	}
	for _, k := range set.Keys {
		if _, private := k.Key.(*rsa.PrivateKey); private || !k.IsPublic() || !slices.Contains([]string{"RS384", "ES384"}, k.Algorithm) || k.Use != "sig" || k.KeyID == "" {
			t.Errorf("%+v", k)
		}
	}
}
