package tokentest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/smart/token"
)

// RefreshKeeper is what the suite of refresh tokens needs: they live under the
// grants of a token.Store.
type RefreshKeeper interface {
	token.Store
	token.RefreshStore
}

func refresh(id string) token.Refresh {
	return token.Refresh{Digest: token.DigestOf("refresh-" + id), Issued: now(), Expires: now().Add(12 * time.Hour)}
}

// RunRefreshStore runs the suite; open gives an empty store each time.
func RunRefreshStore(t *testing.T, open func(t *testing.T) RefreshKeeper) {
	cases := []struct {
		name string
		run  func(t *testing.T, s RefreshKeeper)
	}{
		{"an unknown refresh token is not found", unknownRefresh},
		{"token and grant come back as they went in, and looking does not use up", refreshRoundTrip},
		{"a token used again is a replay that kills the family and its access tokens", refreshReplay},
		{"a replay of the first of a long chain kills the newest", refreshChain},
		{"of fifty who use one token at once exactly one wins and the grant ends", refreshRace},
		{"an expired token is not found and not used up by trying", refreshExpiry},
		{"a token ends with its grant, by date or revocation", refreshEndsWithGrant},
		{"a token under an unknown, revoked or ended grant is refused", orphanRefresh},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func createRefresh(t *testing.T, s RefreshKeeper, grant, id string) token.Refresh {
	t.Helper()
	r := refresh(id)
	if err := s.CreateRefresh(t.Context(), grant, r); err != nil {
		t.Fatalf("CreateRefresh: %v", err)
	}
	return r
}

func wantRefreshReplay(t *testing.T, s RefreshKeeper, r token.Refresh, grant string) {
	t.Helper()
	g, err := s.UseRefresh(t.Context(), r.Digest, now())
	if !errors.Is(err, token.ErrReplayed) || g.ID != grant {
		t.Errorf("second use: grant %q, err %v; want ErrReplayed of %q", g.ID, err, grant)
	}
}

func unknownRefresh(t *testing.T, s RefreshKeeper) {
	_, err := s.UseRefresh(t.Context(), token.DigestOf("nobody"), now())
	wantNotFound(t, "UseRefresh", err)
	_, _, err = s.Refresh(t.Context(), token.DigestOf("nobody"), now())
	wantNotFound(t, "Refresh", err)
}

func refreshRoundTrip(t *testing.T, s RefreshKeeper) {
	g, _, _ := grantWithToken(t, s, "1")
	r := createRefresh(t, s, g.ID, "1")
	for range 2 {
		gotRefresh, gotGrant, err := s.Refresh(t.Context(), r.Digest, now())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, gotRefresh, sameTime()) + cmp.Diff(g, gotGrant, sameTime()); d != "" {
			t.Errorf("looked at (-in +out):\n%s", d)
		}
	}
	got, err := s.UseRefresh(t.Context(), r.Digest, now())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(g, got, sameTime()); d != "" {
		t.Errorf("used (-in +out):\n%s", d)
	}
	_, _, err = s.Refresh(t.Context(), r.Digest, now())
	wantNotFound(t, "Refresh of a used one", err)
}

func refreshReplay(t *testing.T, s RefreshKeeper) {
	g, _, a := grantWithToken(t, s, "1")
	_, _, other := grantWithToken(t, s, "2")
	r := createRefresh(t, s, g.ID, "1")
	if _, err := s.UseRefresh(t.Context(), r.Digest, now()); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, s, a, true)
	wantRefreshReplay(t, s, r, g.ID)
	wantAccess(t, s, a, false)
	wantAccess(t, s, other, true)
	wantNotFound(t, "CreateRefresh after the replay", s.CreateRefresh(t.Context(), g.ID, refresh("later")))
}

func refreshChain(t *testing.T, s RefreshKeeper) {
	g, _, _ := grantWithToken(t, s, "1")
	first := createRefresh(t, s, g.ID, "a")
	last := first
	for _, id := range []string{"b", "c", "d"} {
		if _, err := s.UseRefresh(t.Context(), last.Digest, now()); err != nil {
			t.Fatal(err)
		}
		last = createRefresh(t, s, g.ID, id)
	}
	wantRefreshReplay(t, s, first, g.ID)
	_, err := s.UseRefresh(t.Context(), last.Digest, now())
	wantNotFound(t, "UseRefresh of the newest", err)
}

func refreshRace(t *testing.T, s RefreshKeeper) {
	g, _, a := grantWithToken(t, s, "1")
	r := createRefresh(t, s, g.ID, "1")
	const n = 50
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, errs[i] = s.UseRefresh(t.Context(), r.Digest, now()) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, token.ErrReplayed):
			t.Errorf("a loser got %v, want ErrReplayed", err)
		}
	}
	if won != 1 {
		t.Errorf("%d callers used the token, want exactly 1", won)
	}
	wantAccess(t, s, a, false)
	wantNotFound(t, "CreateRefresh for the winner", s.CreateRefresh(t.Context(), g.ID, refresh("next")))
}

func refreshExpiry(t *testing.T, s RefreshKeeper) {
	g, _, _ := grantWithToken(t, s, "1")
	r := createRefresh(t, s, g.ID, "1")
	for range 2 {
		_, err := s.UseRefresh(t.Context(), r.Digest, r.Expires)
		wantNotFound(t, "UseRefresh at its expiry", err)
	}
	_, _, err := s.Refresh(t.Context(), r.Digest, r.Expires)
	wantNotFound(t, "Refresh at its expiry", err)
	if _, err := s.UseRefresh(t.Context(), r.Digest, r.Expires.Add(-time.Second)); err != nil {
		t.Errorf("a second before its expiry the token is good: %v", err)
	}
}

func refreshEndsWithGrant(t *testing.T, s RefreshKeeper) {
	g, c := fixture("1")
	g.Expires = now().Add(time.Hour)
	if err := s.CreateGrant(t.Context(), g, c); err != nil {
		t.Fatal(err)
	}
	r := createRefresh(t, s, g.ID, "1")
	_, err := s.UseRefresh(t.Context(), r.Digest, g.Expires)
	wantNotFound(t, "UseRefresh when the grant is over", err)
	if err := s.RevokeGrant(t.Context(), g.ID, now()); err != nil {
		t.Fatal(err)
	}
	_, err = s.UseRefresh(t.Context(), r.Digest, now())
	wantNotFound(t, "UseRefresh of a revoked grant", err)
	_, _, err = s.Refresh(t.Context(), r.Digest, now())
	wantNotFound(t, "Refresh of a revoked grant", err)
}

func orphanRefresh(t *testing.T, s RefreshKeeper) {
	wantNotFound(t, "unknown grant", s.CreateRefresh(t.Context(), "nobody", refresh("0")))
	g, _ := create(t, s, "1")
	late := refresh("late")
	late.Issued, late.Expires = g.Expires, g.Expires.Add(time.Hour)
	wantNotFound(t, "ended grant", s.CreateRefresh(t.Context(), g.ID, late))
	if err := s.RevokeGrant(t.Context(), g.ID, now()); err != nil {
		t.Fatal(err)
	}
	wantNotFound(t, "revoked grant", s.CreateRefresh(t.Context(), g.ID, refresh("1")))
}
