// Package tokentest is the suite that every token.Store and token.KeyStore
// passes, and implementations in memory for tests. It is imported by tests only.
package tokentest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portico-fhir/portico/smart/token"
)

// now is the time of the suite; stores keep seconds at least.
func now() time.Time { return time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC) }

// sameTime compares times as instants and lets stores choose the zone.
func sameTime() cmp.Option {
	return cmp.Options{cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()}
}

// fixture is one grant with its code.
func fixture(id string) (token.Grant, token.Code) {
	g := token.Grant{
		ID: "grant-" + id, Client: "app", Source: "demo", Patient: "p-" + id,
		PersonIssuer: "https://idp.example", PersonSubject: "subject-" + id,
		FHIRUser: "RelatedPerson/r-" + id, Scopes: "openid patient/Observation.rs", Context: `{"encounter":"e-` + id + `"}`,
		AuthTime: now().Add(-time.Minute), Created: now(), Expires: now().Add(24 * time.Hour),
	}
	c := token.Code{
		Digest: token.DigestOf("code-" + id), RedirectURI: "https://app.example/cb?x=1",
		Challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Nonce: "n é " + id,
		Expires: now().Add(time.Minute),
	}
	return g, c
}

func access(id string) token.Access {
	return token.Access{
		Digest: token.DigestOf("access-" + id), Scopes: "openid patient/Observation.rs",
		Issued: now(), Expires: now().Add(time.Hour),
	}
}

// RunStore runs the suite; open gives an empty store each time.
func RunStore(t *testing.T, open func(t *testing.T) token.Store) {
	cases := []struct {
		name string
		run  func(t *testing.T, s token.Store)
	}{
		{"an unknown code is not found", unknownCode},
		{"an unknown token is not found", unknownToken},
		{"an expired code is not found and not used up by trying", expiredCode},
		{"a code of a revoked grant is not found", revokedCode},
		{"a code used again is a replay that kills the grant and its tokens", replay},
		{"a replay long after the code expired still kills the grant", lateReplay},
		{"of many who use one code at once exactly one wins and the grant ends", race},
		{"a token under an unknown, revoked or ended grant is refused", orphanAccess},
		{"a token ends at its expiry", accessExpiry},
		{"a token ends with its grant", grantExpiry},
		{"revoking a grant ends every token under it and no other", revoke},
		{"revoking twice or something unknown is no error", revokeUnknown},
		{"a grant whose code cannot be kept is not kept either", bothOrNeither},
		{"code, token and grant come back as they went in", roundTrip},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func create(t *testing.T, s token.Store, id string) (token.Grant, token.Code) {
	t.Helper()
	g, c := fixture(id)
	if err := s.CreateGrant(t.Context(), g, c); err != nil {
		t.Fatalf("CreateGrant: %v", err)
	}
	return g, c
}

func grantWithToken(t *testing.T, s token.Store, id string) (token.Grant, token.Code, token.Access) {
	t.Helper()
	g, c := create(t, s, id)
	if _, _, err := s.UseCode(t.Context(), c.Digest, now()); err != nil {
		t.Fatalf("UseCode: %v", err)
	}
	a := access(id)
	if err := s.CreateAccess(t.Context(), g.ID, a); err != nil {
		t.Fatalf("CreateAccess: %v", err)
	}
	wantAccess(t, s, a, true)
	return g, c, a
}

func wantAccess(t *testing.T, s token.Store, a token.Access, good bool) {
	t.Helper()
	_, _, err := s.Access(t.Context(), a.Digest, now())
	if good && err != nil {
		t.Errorf("the token should be good: %v", err)
	}
	if !good && !errors.Is(err, token.ErrNotFound) {
		t.Errorf("the token should be gone: err = %v", err)
	}
}

func wantNotFound(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, token.ErrNotFound) || errors.Is(err, token.ErrReplayed) {
		t.Errorf("%s: err = %v, want ErrNotFound alone", what, err)
	}
}

func unknownCode(t *testing.T, s token.Store) {
	_, _, err := s.UseCode(t.Context(), token.DigestOf("nobody"), now())
	wantNotFound(t, "UseCode", err)
}

func unknownToken(t *testing.T, s token.Store) {
	_, _, err := s.Access(t.Context(), token.DigestOf("nobody"), now())
	wantNotFound(t, "Access", err)
}

func expiredCode(t *testing.T, s token.Store) {
	_, c := create(t, s, "1")
	for range 2 {
		_, _, err := s.UseCode(t.Context(), c.Digest, c.Expires)
		wantNotFound(t, "UseCode at its expiry", err)
	}
	if _, _, err := s.UseCode(t.Context(), c.Digest, c.Expires.Add(-time.Second)); err != nil {
		t.Errorf("a second before its expiry the code is good: %v", err)
	}
}

func revokedCode(t *testing.T, s token.Store) {
	g, c := create(t, s, "1")
	if err := s.RevokeGrant(t.Context(), g.ID, now()); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.UseCode(t.Context(), c.Digest, now())
	wantNotFound(t, "UseCode", err)
}

func wantReplay(t *testing.T, s token.Store, c token.Code, g token.Grant, at time.Time) {
	t.Helper()
	_, got, err := s.UseCode(t.Context(), c.Digest, at)
	if !errors.Is(err, token.ErrReplayed) {
		t.Errorf("second use: err = %v, want ErrReplayed", err)
	}
	if got.ID != g.ID {
		t.Errorf("second use names grant %q, want %q", got.ID, g.ID)
	}
}

func replay(t *testing.T, s token.Store) {
	g, c, a := grantWithToken(t, s, "1")
	_, _, other := grantWithToken(t, s, "2")
	wantReplay(t, s, c, g, now())
	wantAccess(t, s, a, false)
	wantAccess(t, s, other, true)
	err := s.CreateAccess(t.Context(), g.ID, access("later"))
	wantNotFound(t, "CreateAccess after the replay", err)
}

func lateReplay(t *testing.T, s token.Store) {
	g, c, a := grantWithToken(t, s, "1")
	wantReplay(t, s, c, g, c.Expires.Add(10*time.Minute))
	wantAccess(t, s, a, false)
}

func race(t *testing.T, s token.Store) {
	g, c := create(t, s, "1")
	const n = 20
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, _, errs[i] = s.UseCode(t.Context(), c.Digest, now()) })
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
		t.Errorf("%d callers used the code, want exactly 1", won)
	}
	wantNotFound(t, "CreateAccess for the winner", s.CreateAccess(t.Context(), g.ID, access("1")))
}

func orphanAccess(t *testing.T, s token.Store) {
	wantNotFound(t, "unknown grant", s.CreateAccess(t.Context(), "nobody", access("0")))
	g, _ := create(t, s, "1")
	late := access("late")
	late.Issued, late.Expires = g.Expires, g.Expires.Add(time.Hour)
	wantNotFound(t, "ended grant", s.CreateAccess(t.Context(), g.ID, late))
	if err := s.RevokeGrant(t.Context(), g.ID, now()); err != nil {
		t.Fatal(err)
	}
	a := access("1")
	wantNotFound(t, "revoked grant", s.CreateAccess(t.Context(), g.ID, a))
	wantAccess(t, s, a, false)
}

func accessExpiry(t *testing.T, s token.Store) {
	_, _, a := grantWithToken(t, s, "1")
	if _, _, err := s.Access(t.Context(), a.Digest, a.Expires.Add(-time.Second)); err != nil {
		t.Errorf("a second before its expiry the token is good: %v", err)
	}
	_, _, err := s.Access(t.Context(), a.Digest, a.Expires)
	wantNotFound(t, "at its expiry", err)
}

func grantExpiry(t *testing.T, s token.Store) {
	g, c := fixture("1")
	g.Expires = now().Add(10 * time.Minute)
	if err := s.CreateGrant(t.Context(), g, c); err != nil {
		t.Fatal(err)
	}
	a := access("1")
	if err := s.CreateAccess(t.Context(), g.ID, a); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, s, a, true)
	_, _, err := s.Access(t.Context(), a.Digest, g.Expires)
	wantNotFound(t, "when the grant is over", err)
}

func revoke(t *testing.T, s token.Store) {
	g, _, a := grantWithToken(t, s, "1")
	second := access("second")
	if err := s.CreateAccess(t.Context(), g.ID, second); err != nil {
		t.Fatal(err)
	}
	_, _, other := grantWithToken(t, s, "2")
	if err := s.RevokeGrant(t.Context(), g.ID, now()); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, s, a, false)
	wantAccess(t, s, second, false)
	wantAccess(t, s, other, true)
}

func revokeUnknown(t *testing.T, s token.Store) {
	g, _ := create(t, s, "1")
	for _, id := range []string{"nobody", g.ID, g.ID} {
		if err := s.RevokeGrant(t.Context(), id, now()); err != nil {
			t.Errorf("RevokeGrant(%q): %v", id, err)
		}
	}
}

func bothOrNeither(t *testing.T, s token.Store) {
	_, c := create(t, s, "1")
	g, _ := fixture("2")
	if err := s.CreateGrant(t.Context(), g, c); err == nil {
		t.Fatal("a code with a digest that is taken was accepted")
	}
	wantNotFound(t, "CreateAccess", s.CreateAccess(t.Context(), g.ID, access("2")))
	if _, got, err := s.UseCode(t.Context(), c.Digest, now()); err != nil || got.ID == g.ID {
		t.Errorf("the first grant's code is hurt: grant %q, err %v", got.ID, err)
	}
}

func roundTrip(t *testing.T, s token.Store) {
	g, c := create(t, s, "1")
	gotCode, gotGrant, err := s.UseCode(t.Context(), c.Digest, now())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, gotCode, sameTime()); d != "" {
		t.Errorf("code (-in +out):\n%s", d)
	}
	if d := cmp.Diff(g, gotGrant, sameTime()); d != "" {
		t.Errorf("grant with the code (-in +out):\n%s", d)
	}
	a := access("1")
	if err := s.CreateAccess(t.Context(), g.ID, a); err != nil {
		t.Fatal(err)
	}
	gotAccess, gotGrant, err := s.Access(t.Context(), a.Digest, now())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, gotAccess, sameTime()); d != "" {
		t.Errorf("token (-in +out):\n%s", d)
	}
	if d := cmp.Diff(g, gotGrant, sameTime()); d != "" {
		t.Errorf("grant with the token (-in +out):\n%s", d)
	}
}
