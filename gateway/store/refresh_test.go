package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestRefreshStore(t *testing.T) { forEachDatabase(t, testRefreshStore) }

func testRefreshStore(t *testing.T, on database) {
	tokentest.RunRefreshStore(t, func(t *testing.T) tokentest.RefreshKeeper { return on.open(t) })
}

func TestAccessStore(t *testing.T) { forEachDatabase(t, testAccessStore) }

func testAccessStore(t *testing.T, on database) {
	tokentest.RunAccessStore(t, func(t *testing.T) tokentest.AccessKeeper { return on.open(t) })
}

func (r *replicas) CreateRefresh(ctx context.Context, grant string, f token.Refresh) error {
	return r.next().CreateRefresh(ctx, grant, f)
}

func (r *replicas) UseRefresh(ctx context.Context, d token.Digest, now time.Time) (token.Grant, error) {
	return r.next().UseRefresh(ctx, d, now)
}

func (r *replicas) Refresh(ctx context.Context, d token.Digest, now time.Time) (token.Refresh, token.Grant, error) {
	return r.next().Refresh(ctx, d, now)
}

func (r *replicas) CreateService(ctx context.Context, g token.Grant, a token.Access) error {
	return r.next().CreateService(ctx, g, a)
}

func (r *replicas) RevokeAccess(ctx context.Context, d token.Digest) error {
	return r.next().RevokeAccess(ctx, d)
}

func TestTwoReplicasRefreshAsOneStore(t *testing.T) {
	forEachDatabase(t, testTwoReplicasRefreshAsOneStore)
}

func testTwoReplicasRefreshAsOneStore(t *testing.T, on database) {
	tokentest.RunRefreshStore(t, func(t *testing.T) tokentest.RefreshKeeper { return on.replicas(t) })
	tokentest.RunAccessStore(t, func(t *testing.T) tokentest.AccessKeeper { return on.replicas(t) })
}

func TestSweepLeavesGrantsThatCanBeRefreshedAndNoOthers(t *testing.T) {
	forEachDatabase(t, testSweepLeavesGrantsThatCanBeRefreshedAndNoOthers)
}

func testSweepLeavesGrantsThatCanBeRefreshedAndNoOthers(t *testing.T, on database) {
	s := on.open(t)
	now := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, id := range []string{"alive", "unused"} {
		g := token.Grant{ID: id, Created: now, Expires: token.NoEnd, PersonSubject: "p"}
		if err := s.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf(id), Expires: now.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.UseCode(t.Context(), token.DigestOf(id), now); err != nil {
			t.Fatal(err)
		}
		ends := map[string]time.Time{"alive": now.Add(92 * 24 * time.Hour), "unused": now.Add(time.Hour)}[id]
		if err := s.CreateRefresh(t.Context(), id, token.Refresh{Digest: token.DigestOf(id), Issued: now, Expires: ends}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.UseAssertion(t.Context(), "app", "1", now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	later := now.Add(25 * time.Hour)
	if err := s.Sweep(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"alive": true, "unused": false} {
		err := s.CreateRefresh(t.Context(), id, token.Refresh{Digest: token.DigestOf(id + "2"), Issued: later, Expires: later.Add(time.Hour)})
		if (err == nil) != want {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := s.UseAssertion(t.Context(), "app", "1", later); err != nil {
		t.Errorf("an id of long ago was not forgotten: %v", err)
	}
}

func TestOnlineAsLongAsThereIsASession(t *testing.T) {
	forEachDatabase(t, testOnlineAsLongAsThereIsASession)
}

func testOnlineAsLongAsThereIsASession(t *testing.T, on database) {
	s := on.open(t)
	now := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	online := func(at time.Time) bool {
		t.Helper()
		ok, err := s.Online(t.Context(), "iss", "ana", at)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if online(now) {
		t.Error("without a session")
	}
	for i, subject := range []string{"ana", "ana", "bo"} {
		err := s.CreateSession(t.Context(), login.Session{
			Digest: [32]byte{byte(i)}, Issuer: "iss", Subject: subject, Created: now, Seen: now, Expires: now.Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !online(now) || online(now.Add(time.Hour)) {
		t.Error("online until the session ends, and no longer")
	}
	for i := range 2 {
		if err := s.DeleteSession(t.Context(), [32]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if online(now) != (i == 0) {
			t.Errorf("after %d of two sign-outs: %v", i+1, online(now))
		}
	}
}
