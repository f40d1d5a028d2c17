package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-fhir/portico/internal/fetch"
	"github.com/portico-fhir/portico/smart/client"
)

func ecKey(t *testing.T, kid string) jose.JSONWebKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: k.Public(), KeyID: kid, Use: "sig"}
}

func jwks(t *testing.T, keys ...any) []byte {
	t.Helper()
	out, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKeySetsThatAreNotTaken(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := ecKey(t, "a")
	for _, c := range []struct {
		name string
		text []byte
		want string
	}{
		{"nothing", nil, "not a JWK set"},
		{"null", []byte("null"), "not a JWK set"},
		{"a key alone", jwks(t)[:5], "not a JWK set"},
		{"no list", []byte(`{"keys":{}}`), "not a JWK set"},
		{"null as the list", jwks(t), "not a JWK set"},
		{"an empty list", []byte(`{"keys":[]}`), "no RSA or EC"},
		{"a text", []byte(`{"keys":["x"]}`), "not a JWK"},
		{"a private key", jwks(t, jose.JSONWebKey{Key: private, KeyID: "a"}), "private"},
		{"a private key beside a public one", jwks(t, good, jose.JSONWebKey{Key: private, KeyID: "b"}), "private"},
		{"a secret", jwks(t, map[string]string{"kty": "oct", "k": "AAAA", "kid": "a"}), "private"},
		{"a short RSA key", jwks(t, jose.JSONWebKey{Key: weak.Public(), KeyID: "a"}), "1024 bits"},
		{"no kid", jwks(t, ecKey(t, "")), "no kid"},
		{"kid and kty twice", jwks(t, good, ecKey(t, "a")), "same kid and kty"},
		{"a point that is not on the curve", jwks(t, map[string]string{"kty": "EC", "crv": "P-256", "kid": "a",
			"x": strings.Repeat("A", 43), "y": strings.Repeat("A", 43)}), "not a valid"},
		{"keys of other kinds alone", jwks(t, map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": "a"}), "no RSA or EC"},
		{"keys for encryption alone", jwks(t, jose.JSONWebKey{Key: good.Key, KeyID: "a", Use: "enc"}), "no RSA or EC"},
		{"too many", jwks(t, make([]any, 21)...), "more than 20"},
		{"too large", append([]byte(strings.Repeat(" ", 64<<10)), jwks(t, good)...), "too large"},
	} {
		if _, err := client.ParseJWKS(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	keys, err := client.ParseJWKS(jwks(t, good, map[string]string{"kty": "future", "kid": "a"}, ecKey(t, "b")))
	if err != nil || len(keys) != 2 {
		t.Errorf("good keys beside an unknown one: %v, %v", keys, err)
	}
}

// web is a Fetcher whose answers the test decides.
type web struct {
	mu    sync.Mutex
	gets  int
	doc   fetch.Document
	err   error
	block chan struct{}
}

func (w *web) Get(ctx context.Context, _ string, _ ...string) (fetch.Document, error) {
	if w.block != nil {
		<-w.block
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gets++
	if ctx.Err() != nil {
		return fetch.Document{}, ctx.Err()
	}
	return w.doc, w.err
}

func (w *web) set(doc fetch.Document, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doc, w.err = doc, err
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestKeysByURLAreKeptAsTheirServerSays(t *testing.T) {
	t.Parallel()
	a, b := ecKey(t, "a"), ecKey(t, "b")
	for _, c := range []struct {
		name string
		doc  fetch.Document
		keep time.Duration
	}{
		{"nothing said", fetch.Document{}, 5 * time.Minute},
		{"ten minutes", fetch.Document{Said: true, Fresh: 10 * time.Minute}, 10 * time.Minute},
		{"a year", fetch.Document{Said: true, Fresh: 365 * 24 * time.Hour}, time.Hour},
		{"no-store", fetch.Document{Said: true}, 0},
	} {
		at := &clock{time.Unix(1e9, 0)}
		w := &web{doc: c.doc}
		w.doc.Body = jwks(t, a)
		keys := client.NewKeys(w, at.now)
		app := client.Client{ID: "x", JWKSURI: "https://app.example/keys"}
		get := func(kid string, gets int, want error) {
			t.Helper()
			got, err := keys.Keys(t.Context(), app, kid)
			if !errors.Is(err, want) || (want == nil && (len(got) != 1 || got[0].KeyID != kid)) {
				t.Errorf("%s: %s: %v, %v; want %v", c.name, kid, got, err, want)
			}
			if w.gets != gets {
				t.Errorf("%s: %s: fetched %d times, want %d", c.name, kid, w.gets, gets)
			}
		}
		get("a", 1, nil)
		gets := 1
		if c.keep > 0 {
			at.at = at.at.Add(c.keep - time.Second)
			get("a", 1, nil)
			at.at = at.at.Add(time.Second)
		}
		gets++
		get("a", gets, nil)
		// The key is replaced: the old one stops as soon as the time is over,
		// the new one works within 30 s at the latest.
		w.doc.Body = jwks(t, b)
		get("b", gets, client.ErrNoKey)
		at.at = at.at.Add(29 * time.Second)
		get("b", gets, client.ErrNoKey)
		at.at = at.at.Add(time.Second)
		gets++
		get("b", gets, nil)
		get("a", gets, client.ErrNoKey)
		get("c", gets, client.ErrNoKey)
		get("", gets, client.ErrNoKey)
		// Another URL is another set.
		app.JWKSURI += "2"
		get("b", gets+1, nil)
	}
}

func TestKeysThatCannotBeHad(t *testing.T) {
	t.Parallel()
	a := ecKey(t, "a")
	at := &clock{time.Unix(1e9, 0)}
	w := &web{err: fmt.Errorf("%w: connection refused by 10.0.0.1", fetch.ErrFailed)}
	keys := client.NewKeys(w, at.now)
	app := client.Client{ID: "x", JWKSURI: "https://app.example/keys"}
	for range 3 {
		_, err := keys.Keys(t.Context(), app, "a")
		if !errors.Is(err, fetch.ErrFailed) || w.gets != 1 {
			t.Fatalf("%v after %d", err, w.gets)
		}
		if reason := client.Reason(err); strings.Contains(reason, "10.0.0.1") || !strings.Contains(reason, "jwks_uri") {
			t.Errorf("the reason tells what is behind the URL: %s", reason)
		}
	}
	w.set(fetch.Document{Body: []byte("<html>")}, nil)
	at.at = at.at.Add(10 * time.Second)
	if _, err := keys.Keys(t.Context(), app, "a"); !errors.Is(err, fetch.ErrFailed) || w.gets != 2 {
		t.Errorf("%v after %d", err, w.gets)
	}
	w.set(fetch.Document{Body: jwks(t, a)}, nil)
	at.at = at.at.Add(10 * time.Second)
	if _, err := keys.Keys(t.Context(), app, "a"); err != nil {
		t.Error(err)
	}
	// A set that was good and is spoilt now is not believed any longer than it may be.
	w.set(fetch.Document{}, fetch.ErrFailed)
	at.at = at.at.Add(5 * time.Minute)
	if _, err := keys.Keys(t.Context(), app, "a"); !errors.Is(err, fetch.ErrFailed) {
		t.Error(err)
	}
	if _, err := client.NewKeys(nil, nil).Keys(t.Context(), app, "a"); !errors.Is(err, fetch.ErrRefused) {
		t.Error(err)
	}
	for _, c := range []client.Client{{ID: "none"}, {ID: "value", JWKS: jwks(t, ecKey(t, "b"))}} {
		if _, err := keys.Keys(t.Context(), c, "a"); !errors.Is(err, client.ErrNoKey) {
			t.Errorf("%s: %v", c.ID, err)
		}
	}
	if got, err := keys.Keys(t.Context(), client.Client{ID: "value", JWKS: jwks(t, a)}, "a"); err != nil || len(got) != 1 {
		t.Errorf("by value: %v, %v", got, err)
	}
}

// Many callers at once, the first of whom leaves: one fetch answers them all.
func TestOneFetchAtATime(t *testing.T) {
	t.Parallel()
	w := &web{block: make(chan struct{}), doc: fetch.Document{Said: true, Fresh: time.Minute}}
	w.doc.Body = jwks(t, ecKey(t, "a"))
	keys := client.NewKeys(w, time.Now)
	app := client.Client{ID: "x", JWKSURI: "https://app.example/keys"}
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			mine := t.Context()
			if i == 0 {
				mine = ctx
			}
			if _, err := keys.Keys(mine, app, "a"); err != nil && i > 0 {
				t.Error(err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	leave()
	close(w.block)
	wg.Wait()
	if w.gets != 1 {
		t.Errorf("fetched %d times", w.gets)
	}
}

// Whatever is accepted is public, has a kid, and no kid and kty twice.
func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-384","kid":"a","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","d":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := client.ParseJWKS(text)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, k := range keys {
			id := fmt.Sprintf("%s %T", k.KeyID, k.Key)
			if !k.IsPublic() || k.KeyID == "" || seen[id] {
				t.Fatalf("%s is accepted: %+v", text, k)
			}
			seen[id] = true
		}
	})
}
