package tokentest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/smart/token"
)

func key(id, alg string, created time.Time) token.Key {
	return token.Key{ID: id, Alg: alg, PKCS8: []byte("\x00\xff" + id), Created: created}
}

// RunKeyStore runs the suite; open gives an empty store each time.
func RunKeyStore(t *testing.T, open func(t *testing.T) token.KeyStore) {
	cases := []struct {
		name string
		run  func(t *testing.T, s token.KeyStore)
	}{
		{"an empty store has no keys", func(t *testing.T, s token.KeyStore) { wantKeys(t, s) }},
		{"of many who add a key at once one stays", keyRace},
		{"a second key of an algorithm is left out, one of another is kept", keyPerAlgorithm},
		{"rotation retires what is in use of one algorithm and keeps the new key", keyRotate},
		{"a rotation that cannot be kept changes nothing", keyRotateTwice},
		{"an earlier end goes before a later one, and not the other way round", keyRotateSooner},
		{"a retired key is kept and makes room for the next, newest first", keyRotation},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func add(t *testing.T, s token.KeyStore, k token.Key) {
	t.Helper()
	if err := s.AddKey(t.Context(), k); err != nil {
		t.Fatalf("AddKey(%s): %v", k.ID, err)
	}
}

func wantKeys(t *testing.T, s token.KeyStore, want ...token.Key) {
	t.Helper()
	got, err := s.Keys(t.Context())
	if err != nil {
		t.Fatalf("Keys: %v", err)
	}
	if d := cmp.Diff(want, got, sameTime()); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
}

func keyRace(t *testing.T, s token.KeyStore) {
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.AddKey(t.Context(), key(fmt.Sprint("k", i), "RS256", now())) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Errorf("losing the race is no error: %v", err)
		}
	}
	if got, err := s.Keys(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("%d keys (err %v), want 1", len(got), err)
	}
}

func keyPerAlgorithm(t *testing.T, s token.KeyStore) {
	first, es := key("first", "RS256", now()), key("es", "ES256", now().Add(time.Second))
	add(t, s, first)
	add(t, s, key("second", "RS256", now().Add(time.Hour)))
	add(t, s, first)
	add(t, s, es)
	wantKeys(t, s, es, first)
}

func keyRotation(t *testing.T, s token.KeyStore) {
	old := key("old", "RS256", now())
	old.Retired = now().Add(time.Hour)
	fresh := key("fresh", "RS256", now().Add(time.Hour))
	add(t, s, old)
	add(t, s, fresh)
	wantKeys(t, s, fresh, old)
}

func rotate(t *testing.T, s token.KeyStore, k token.Key, retire time.Time) {
	t.Helper()
	if err := s.RotateKey(t.Context(), k, retire); err != nil {
		t.Fatalf("RotateKey(%s): %v", k.ID, err)
	}
}

func keyRotate(t *testing.T, s token.KeyStore) {
	old, es, fresh := key("old", "RS256", now()), key("es", "ES256", now().Add(time.Second)), key("fresh", "RS256", now().Add(time.Hour))
	add(t, s, old)
	add(t, s, es)
	rotate(t, s, fresh, now().Add(2*time.Hour))
	old.Retired = now().Add(2 * time.Hour)
	wantKeys(t, s, fresh, es, old)
	add(t, s, key("late", "RS256", now().Add(3*time.Hour))) // there is one in use
	wantKeys(t, s, fresh, es, old)
}

func keyRotateTwice(t *testing.T, s token.KeyStore) {
	old := key("old", "RS256", now())
	add(t, s, old)
	if err := s.RotateKey(t.Context(), old, now().Add(time.Hour)); err == nil {
		t.Error("a key was kept twice")
	}
	wantKeys(t, s, old)
}

func keyRotateSooner(t *testing.T, s token.KeyStore) {
	a, b, c := key("a", "RS256", now()), key("b", "RS256", now().Add(time.Second)), key("c", "RS256", now().Add(2*time.Second))
	add(t, s, a)
	rotate(t, s, b, now().Add(10*time.Minute))
	rotate(t, s, c, now().Add(20*time.Minute))
	a.Retired, b.Retired = now().Add(10*time.Minute), now().Add(20*time.Minute)
	wantKeys(t, s, c, b, a)
	d := key("d", "RS256", now().Add(3*time.Second))
	rotate(t, s, d, now().Add(-time.Hour))
	a.Retired, b.Retired, c.Retired = now().Add(-time.Hour), now().Add(-time.Hour), now().Add(-time.Hour)
	wantKeys(t, s, d, c, b, a)
}
