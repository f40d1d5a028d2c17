package tokentest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

var _ token.Connections = (*Memory)(nil)

// Connections implements token.Connections.
func (m *Memory) Connections(_ context.Context, issuer, subject string, now time.Time) ([]token.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	alive := map[string]bool{}
	for _, a := range m.access {
		if now.Before(a.access.Expires) {
			alive[a.grant.grant.ID] = true
		}
	}
	for _, r := range m.refresh {
		if !r.used && now.Before(r.refresh.Expires) {
			alive[r.grant.grant.ID] = true
		}
	}
	var out []token.Grant
	for id, row := range m.grants {
		if alive[id] && row.good(now) && row.grant.PersonIssuer == issuer && row.grant.PersonSubject == subject {
			out = append(out, row.grant)
		}
	}
	slices.SortFunc(out, func(a, b token.Grant) int { return b.Created.Compare(a.Created) })
	return out[:min(len(out), token.MaxConnections)], nil
}

// ConnectionsKeeper is what the suite needs of a store.
type ConnectionsKeeper interface {
	token.Store
	token.RefreshStore
	token.Connections
}

// RunConnections is the suite of token.Connections; open gives an empty store
// each time.
func RunConnections(t *testing.T, open func(t *testing.T) ConnectionsKeeper) {
	t.Helper()
	s := open(t)
	ctx, now := t.Context(), time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	digest := func(name string) token.Digest { return token.DigestOf(name) }
	create := func(id, issuer, subject string, created, expires time.Time) {
		t.Helper()
		g := token.Grant{
			ID: id, Client: "app", Source: "demo", Patient: "p", PersonIssuer: issuer, PersonSubject: subject, FHIRUser: "Patient/p",
			Scopes: "patient/*.rs", AuthTime: created, Created: created, Expires: expires,
		}
		c := token.Code{Digest: digest("code " + id), RedirectURI: "https://app.example/cb", Challenge: "c", Expires: created.Add(time.Minute)}
		if err := s.CreateGrant(ctx, g, c); err != nil {
			t.Fatal(err)
		}
	}
	access := func(id string, expires time.Time) {
		t.Helper()
		if err := s.CreateAccess(ctx, id, token.Access{Digest: digest("access " + id), Scopes: "patient/*.rs", Issued: now.Add(-time.Hour), Expires: expires}); err != nil {
			t.Fatal(err)
		}
	}
	refresh := func(id string, expires time.Time) {
		t.Helper()
		if err := s.CreateRefresh(ctx, id, token.Refresh{Digest: digest("refresh " + id), Issued: now.Add(-time.Hour), Expires: expires}); err != nil {
			t.Fatal(err)
		}
	}
	day := 24 * time.Hour
	for id, issuer := range map[string]string{"reads": "iss", "stays": "iss", "over": "iss", "stopped": "iss", "unused": "iss", "spent": "iss", "elsewhere": "other"} {
		created := now.Add(-2 * time.Hour)
		if id == "stays" {
			created = now.Add(-3 * time.Hour)
		}
		create(id, issuer, "sub", created, now.Add(90*day))
	}
	create("somebody-else", "iss", "another", now.Add(-2*time.Hour), now.Add(day))
	for _, id := range []string{"reads", "stopped", "elsewhere", "somebody-else"} {
		access(id, now.Add(time.Minute))
	}
	access("over", now.Add(-time.Minute))
	refresh("stays", now.Add(day))
	refresh("spent", now.Add(day))
	if _, err := s.UseRefresh(ctx, digest("refresh spent"), now); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeGrant(ctx, "stopped", now); err != nil {
		t.Fatal(err)
	}
	got, err := s.Connections(ctx, "iss", "sub", now)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, g := range got {
		ids = append(ids, g.ID)
	}
	if want := []string{"reads", "stays"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
	if got, err := s.Connections(ctx, "nobody", "sub", now); err != nil || len(got) != 0 {
		t.Errorf("nobody has %d, %v", len(got), err)
	}
}
