package apps_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/internal/fetch"
	"github.com/portico-fhir/portico/smart/apps"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
	"github.com/portico-fhir/portico/smart/scope"
)

const (
	issuer     = "https://portico.example"
	credential = "0123456789abcdef0123456789abcdef"
)

// harness is registration and the admin API over a store in memory.
type harness struct {
	t        testing.TB
	store    *clienttest.Memory
	public   *httptest.Server
	admin    *httptest.Server
	registry *client.Apps
	log      *log
	now      time.Time
	addr     string
	signer   *ecdsa.PrivateKey // of software statements
}

type log struct {
	mu  sync.Mutex
	all []apps.Decision
	err error
}

func (l *log) Record(_ context.Context, d apps.Decision) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
	return l.err
}

// Keys implements client.KeySource for the issuer of statements.
func (h *harness) Keys(_ context.Context, c client.Client, kid string) ([]jose.JSONWebKey, error) {
	if c.JWKSURI != "https://vouch.example/keys" {
		return nil, errors.New("another URL")
	}
	if kid != "k1" {
		return nil, client.ErrNoKey
	}
	return []jose.JSONWebKey{{Key: h.signer.Public(), KeyID: "k1"}}, nil
}

func start(t testing.TB, change func(o *apps.Options)) *harness {
	t.Helper()
	h := &harness{t: t, store: &clienttest.Memory{}, log: &log{}, now: time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC), addr: "192.0.2.1"}
	static, err := client.NewStatic(client.Options{Clients: []client.Client{
		{ID: "configured", Name: "Configured", Auth: client.Public, RedirectURIs: []string{"https://app.example/cb"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if h.registry, err = client.NewApps(static, h.store); err != nil {
		t.Fatal(err)
	}
	if h.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	urls, err := fetch.New(fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := apps.Options{
		Issuer: issuer, Mode: apps.Review, Store: h.store, URLs: urls,
		Configured:  func(id string) bool { return h.registry.Configured(t.Context(), id) },
		CheckScopes: func(s string) error { _, err := scope.Parse(s); return err },
		Keys:        h, Statements: []apps.Statement{{Issuer: "https://vouch.example", JWKSURI: "https://vouch.example/keys"}},
		Addr: func(*http.Request) string { return h.addr }, Source: func(id string) bool { return id == "demo" },
		Now: func() time.Time { return h.now },
	}
	if change != nil {
		change(&o)
	}
	s, err := apps.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	s.Mount(r)
	h.public = httptest.NewServer(r)
	t.Cleanup(h.public.Close)
	desk, err := apps.NewDesk(s, static, h.log)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := desk.Handler(credential)
	if err != nil {
		t.Fatal(err)
	}
	h.admin = httptest.NewServer(admin)
	t.Cleanup(h.admin.Close)
	return h
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

func (a answer) wantError(t *testing.T, name string, status int, code, says string) {
	t.Helper()
	if a.status != status || a.text("error") != code || !strings.Contains(a.text("error_description"), says) {
		t.Errorf("%s: %d %s; want %d %s that says %q", name, a.status, a.raw, status, code, says)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: headers %v", name, a.header)
	}
}

// call sends body as JSON, unless it is a text already.
func (h *harness) call(method, url, bearer string, body any) answer {
	h.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, url, reader)
	if err != nil {
		h.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			h.t.Errorf("not JSON: %s", raw)
		}
	}
	return a
}

type object = map[string]any

// good is a registration that is right in every way, to be spoilt.
func good(change object) object {
	out := object{"client_name": "App", "redirect_uris": []string{"https://app.example/cb"}, "scope": "openid patient/*.rs", "token_endpoint_auth_method": "none"}
	maps.Copy(out, change)
	for name, v := range out {
		if v == nil {
			delete(out, name)
		}
	}
	return out
}

func (h *harness) register(body any) answer {
	h.t.Helper()
	return h.call(http.MethodPost, h.public.URL+"/oauth/register", "", body)
}

func (h *harness) operator(method, path string, body any) answer {
	h.t.Helper()
	return h.call(method, h.admin.URL+path, credential, body)
}

func (h *harness) usable(id string) error {
	_, err := h.registry.Client(h.t.Context(), id)
	return err
}
