package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
	"github.com/portico-fhir/portico/smart/token"
)

func TestAppStore(t *testing.T) { forEachDatabase(t, testAppStore) }

func testAppStore(t *testing.T, on database) {
	clienttest.RunStore(t, func(t *testing.T) client.Store { return on.open(t) })
	t.Run("two replicas", func(t *testing.T) {
		clienttest.RunStore(t, func(t *testing.T) client.Store { return on.replicas(t) })
	})
}

func (r *replicas) App(ctx context.Context, id string) (client.App, error) {
	return r.next().App(ctx, id)
}

func (r *replicas) Apps(ctx context.Context, state client.State, limit int) ([]client.App, error) {
	return r.next().Apps(ctx, state, limit)
}
func (r *replicas) CreateApp(ctx context.Context, a client.App) error {
	return r.next().CreateApp(ctx, a)
}
func (r *replicas) UpdateApp(ctx context.Context, a client.App) error {
	return r.next().UpdateApp(ctx, a)
}
func (r *replicas) DeleteApp(ctx context.Context, id string, now time.Time) error {
	return r.next().DeleteApp(ctx, id, now)
}

// A later app of the same id must not inherit what people gave to the first.
func TestDeletingAnAppEndsItsGrants(t *testing.T) { forEachDatabase(t, testDeletingAnAppEndsItsGrants) }

func testDeletingAnAppEndsItsGrants(t *testing.T, on database) {
	s := on.open(t)
	now := time.Now()
	for _, id := range []string{"gone", "stays"} {
		if err := s.CreateApp(t.Context(), client.App{Client: client.Client{ID: id, Name: id, Auth: client.Public}, State: client.Approved}); err != nil {
			t.Fatal(err)
		}
		g := token.Grant{ID: "g-" + id, Client: id, Source: "demo", Patient: "1", Created: now, Expires: now.Add(time.Hour)}
		if err := s.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf("c-" + id), Expires: now.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if err := s.CreateAccess(t.Context(), g.ID, token.Access{Digest: token.DigestOf("a-" + id), Issued: now, Expires: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteApp(t.Context(), "gone", now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Access(t.Context(), token.DigestOf("a-gone"), now); !errors.Is(err, token.ErrNotFound) {
		t.Errorf("its access token: %v", err)
	}
	if _, _, err := s.UseCode(t.Context(), token.DigestOf("c-gone"), now); !errors.Is(err, token.ErrNotFound) {
		t.Errorf("its code: %v", err)
	}
	if _, _, err := s.Access(t.Context(), token.DigestOf("a-stays"), now); err != nil {
		t.Errorf("another app's token: %v", err)
	}
}

func TestRefusalStore(t *testing.T) { forEachDatabase(t, testRefusalStore) }

func testRefusalStore(t *testing.T, on database) {
	authztest.RunRefusalStore(t, func(t *testing.T) authz.RefusalStore { return on.open(t) })
}

func TestAppsThatNobodyReviewedAreSweptAway(t *testing.T) {
	forEachDatabase(t, testAppsThatNobodyReviewedAreSweptAway)
}

func testAppsThatNobodyReviewedAreSweptAway(t *testing.T, on database) {
	s := on.open(t)
	now := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	old := now.Add(-60 * 24 * time.Hour)
	for id, a := range map[string]client.App{
		"old":      {State: client.Pending, Origin: client.ByItself, Created: old, Decided: old},
		"new":      {State: client.Pending, Origin: client.ByItself, Created: old.Add(time.Second), Decided: old.Add(time.Second)},
		"changed":  {State: client.Pending, Origin: client.ByItself, Created: old, Decided: now},
		"approved": {State: client.Approved, Origin: client.ByItself, Created: old, Decided: old},
		"added":    {State: client.Pending, Origin: client.ByOperator, Created: old, Decided: old},
	} {
		a.Client = client.Client{ID: id, Name: id, Auth: client.Public}
		if err := s.CreateApp(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	list, err := s.Apps(t.Context(), "", 10)
	if err != nil || len(list) != 4 {
		t.Errorf("%d are left, %v", len(list), err)
	}
	if _, err := s.App(t.Context(), "old"); !errors.Is(err, client.ErrUnknown) {
		t.Errorf("the old one: %v", err)
	}
}
