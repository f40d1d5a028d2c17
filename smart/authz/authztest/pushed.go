package authztest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

// Pushed keeps pushed requests in the process. Its zero value is ready.
type Pushed struct {
	mu   sync.Mutex
	rows map[token.Digest]authz.Pushed
}

var _ authz.PushedStore = (*Pushed)(nil)

// CreatePushed implements authz.PushedStore.
func (m *Pushed) CreatePushed(_ context.Context, p authz.Pushed) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.rows[p.Digest]; taken {
		return errors.New("authztest: the digest is taken")
	}
	if m.rows == nil {
		m.rows = map[token.Digest]authz.Pushed{}
	}
	m.rows[p.Digest] = p
	return nil
}

// UsePushed implements authz.PushedStore.
func (m *Pushed) UsePushed(_ context.Context, d token.Digest, client string, now time.Time) (authz.Pushed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.rows[d]
	if !ok || p.Client != client || !now.Before(p.Expires) {
		return authz.Pushed{}, token.ErrNotFound
	}
	delete(m.rows, d)
	return p, nil
}

// RunPushedStore runs the suite; open gives an empty store each time.
func RunPushedStore(t *testing.T, open func(t *testing.T) authz.PushedStore) {
	for name, run := range map[string]func(*testing.T, authz.PushedStore){
		"a request comes back as it went in, once":             pushedOnce,
		"an unknown, expired or foreign request is not found":  pushedNotFound,
		"of many who use one request at once exactly one wins": pushedRace,
		"a digest cannot be taken twice":                       pushedTwice,
	} {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

func pushed(t *testing.T, s authz.PushedStore, id string) authz.Pushed {
	t.Helper()
	p := authz.Pushed{Digest: token.DigestOf(id), Client: "app", Params: "state=%FF%00&x=" + id, Expires: now().Add(90 * time.Second)}
	if err := s.CreatePushed(t.Context(), p); err != nil {
		t.Fatalf("CreatePushed: %v", err)
	}
	return p
}

func pushedOnce(t *testing.T, s authz.PushedStore) {
	p, other := pushed(t, s, "1"), pushed(t, s, "2")
	for _, want := range []authz.Pushed{p, other} {
		got, err := s.UsePushed(t.Context(), want.Digest, "app", now())
		if err != nil {
			t.Fatalf("UsePushed: %v", err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			t.Errorf("the request changed (-want +got):\n%s", d)
		}
		_, err = s.UsePushed(t.Context(), want.Digest, "app", now())
		wantNotFound(t, "UsePushed again", err)
	}
}

func pushedNotFound(t *testing.T, s authz.PushedStore) {
	p := pushed(t, s, "1")
	_, err := s.UsePushed(t.Context(), token.DigestOf("2"), "app", now())
	wantNotFound(t, "unknown", err)
	_, err = s.UsePushed(t.Context(), p.Digest, "app", p.Expires)
	wantNotFound(t, "expired", err)
	for _, client := range []string{"another", ""} {
		_, err = s.UsePushed(t.Context(), p.Digest, client, now())
		wantNotFound(t, "of another client", err)
	}
	if _, err := s.UsePushed(t.Context(), p.Digest, "app", p.Expires.Add(-time.Second)); err != nil {
		t.Errorf("after all that it is good: %v", err)
	}
}

func pushedRace(t *testing.T, s authz.PushedStore) {
	p := pushed(t, s, "1")
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.UsePushed(t.Context(), p.Digest, "app", now()) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantNotFound(t, "a loser", err)
	}
	if won != 1 {
		t.Errorf("%d callers used the request, want exactly 1", won)
	}
}

func pushedTwice(t *testing.T, s authz.PushedStore) {
	p := pushed(t, s, "1")
	again := p
	again.Params = "x=another"
	if err := s.CreatePushed(t.Context(), again); err == nil {
		t.Error("a second request with the same digest was accepted")
	}
	if got, err := s.UsePushed(t.Context(), p.Digest, "app", now()); err != nil || got.Params != p.Params {
		t.Errorf("got %+v, %v", got, err)
	}
}
