package token_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

// verdict is a registry that says one thing of every client.
type verdict struct{ err error }

func (v *verdict) Client(context.Context, string) (client.Client, error) {
	return client.Client{}, v.err
}

func TestTokensStopWithTheirClient(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	memory := tokentest.NewMemory()
	secret := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	g := token.Grant{ID: "g", Client: "app", Source: "demo", Patient: "1", Scopes: "openid", Created: now, Expires: now.Add(time.Hour)}
	if err := memory.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf("c"), Expires: now.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if err := memory.CreateAccess(t.Context(), "g", token.Access{Digest: token.DigestOf(secret), Scopes: "openid", Issued: now, Expires: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	said := &verdict{}
	v := token.Verifier{Store: token.OfUsableClients(memory, said), Now: func() time.Time { return now }}
	for _, c := range []struct {
		err  error
		good bool
		kind fault.Kind
	}{
		{nil, true, 0},
		{client.ErrSuspended, false, fault.Unauthenticated},
		{client.ErrPending, false, fault.Unauthenticated},
		{client.ErrUnknown, false, fault.Unauthenticated},
		{errors.New("disk"), false, fault.Unavailable},
		{nil, true, 0},
	} {
		said.err = c.err
		_, _, _, err := v.Authenticate(t.Context(), secret)
		if (err == nil) != c.good || (err != nil && fault.KindOf(err) != c.kind) {
			t.Errorf("client %v: %v", c.err, err)
		}
	}
	if _, _, _, err := v.Authenticate(t.Context(), secret[1:]+"B"); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("an unknown token: %v", err)
	}
}
