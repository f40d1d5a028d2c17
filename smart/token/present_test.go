package token_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestWhoIsThereBehindAToken(t *testing.T) {
	t.Parallel()
	start := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	down := errors.New("disk")
	for name, c := range map[string]struct {
		scopes   string
		after    time.Duration
		revoked  bool
		client   error
		online   bool
		sessions error
		want     bool
		fails    bool
	}{
		"good and signed in":                 {scopes: "openid", online: true, want: true},
		"over":                               {scopes: "offline_access", after: time.Hour, online: true},
		"revoked":                            {scopes: "offline_access", revoked: true, online: true},
		"its app is suspended":               {scopes: "offline_access", client: client.ErrSuspended, online: true},
		"its app cannot be looked up":        {scopes: "offline_access", client: down, fails: true},
		"signed out":                         {scopes: "patient/*.rs"},
		"signed out, online_access":          {scopes: "online_access"},
		"signed out, but good without":       {scopes: "offline_access", want: true},
		"nobody can say who is signed in":    {scopes: "openid", sessions: down, fails: true},
		"nobody need say who is signed in":   {scopes: "offline_access", sessions: down, want: true},
		"signed in, and the grant is online": {scopes: "online_access", online: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			memory := tokentest.NewMemory()
			g := token.Grant{ID: "g", Client: "app", Source: "demo", Patient: "1", PersonIssuer: "i", PersonSubject: "s", Scopes: c.scopes, Created: start, Expires: start.Add(48 * time.Hour)}
			if err := memory.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf("c"), Expires: start.Add(time.Minute)}); err != nil {
				t.Fatal(err)
			}
			d := token.DigestOf("secret")
			if err := memory.CreateAccess(t.Context(), "g", token.Access{Digest: d, Scopes: c.scopes, Issued: start, Expires: start.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			if c.revoked {
				if err := memory.RevokeGrant(t.Context(), "g", start); err != nil {
					t.Fatal(err)
				}
			}
			p := token.Presence{
				Store: token.OfUsableClients(memory, &verdict{c.client}), Now: func() time.Time { return start.Add(c.after) },
				Online: func(_ context.Context, issuer, subject string, _ time.Time) (bool, error) {
					return c.online && issuer == "i" && subject == "s", c.sessions
				},
			}
			if got, err := p.Active(t.Context(), d); got != c.want || (err != nil) != c.fails {
				t.Errorf("%v, %v", got, err)
			}
			if got, err := p.Active(t.Context(), token.DigestOf("another")); got || err != nil {
				t.Errorf("an unknown one: %v, %v", got, err)
			}
		})
	}
}
