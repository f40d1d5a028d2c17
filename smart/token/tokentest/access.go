package tokentest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/smart/token"
)

// AccessKeeper is what the suite of access tokens without a code needs.
type AccessKeeper interface {
	token.Store
	token.AccessStore
}

// RunAccessStore runs the suite; open gives an empty store each time.
func RunAccessStore(t *testing.T, open func(t *testing.T) AccessKeeper) {
	cases := []struct {
		name string
		run  func(t *testing.T, s AccessKeeper)
	}{
		{"a service's grant and token come back as they went in", serviceRoundTrip},
		{"a service's grant whose token cannot be kept is not kept either", serviceBothOrNeither},
		{"a service's token ends with its grant and at its expiry", serviceEnds},
		{"to end one access token leaves its grant and its others", revokeOne},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func service(id string) (token.Grant, token.Access) {
	g := token.Grant{
		ID: "service-" + id, Client: "warehouse", Source: "demo", Scopes: "system/*.rs",
		Created: now(), Expires: now().Add(5 * time.Minute),
	}
	return g, token.Access{Digest: token.DigestOf("service-access-" + id), Scopes: g.Scopes, Issued: now(), Expires: g.Expires}
}

func serviceRoundTrip(t *testing.T, s AccessKeeper) {
	g, a := service("1")
	if err := s.CreateService(t.Context(), g, a); err != nil {
		t.Fatal(err)
	}
	gotAccess, gotGrant, err := s.Access(t.Context(), a.Digest, now())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, gotAccess, sameTime()) + cmp.Diff(g, gotGrant, sameTime()); d != "" || !gotGrant.Service() {
		t.Errorf("(-in +out):\n%s", d)
	}
}

func serviceBothOrNeither(t *testing.T, s AccessKeeper) {
	first, a := service("1")
	if err := s.CreateService(t.Context(), first, a); err != nil {
		t.Fatal(err)
	}
	second, _ := service("2")
	if err := s.CreateService(t.Context(), second, a); err == nil {
		t.Fatal("a token with a digest that is taken was accepted")
	}
	wantNotFound(t, "CreateAccess", s.CreateAccess(t.Context(), second.ID, access("2")))
	if _, got, err := s.Access(t.Context(), a.Digest, now()); err != nil || got.ID != first.ID {
		t.Errorf("the first token is hurt: grant %q, err %v", got.ID, err)
	}
}

func serviceEnds(t *testing.T, s AccessKeeper) {
	g, a := service("1")
	if err := s.CreateService(t.Context(), g, a); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Access(t.Context(), a.Digest, a.Expires)
	wantNotFound(t, "at its expiry", err)
	if err := s.RevokeGrant(t.Context(), g.ID, now()); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, s, a, false)
}

func revokeOne(t *testing.T, s AccessKeeper) {
	g, _, a := grantWithToken(t, s, "1")
	second := access("second")
	if err := s.CreateAccess(t.Context(), g.ID, second); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.RevokeAccess(t.Context(), a.Digest); err != nil {
			t.Fatal(err)
		}
	}
	wantAccess(t, s, a, false)
	wantAccess(t, s, second, true)
	if err := s.RevokeAccess(t.Context(), token.DigestOf("nobody")); err != nil {
		t.Errorf("an unknown token: %v", err)
	}
}
