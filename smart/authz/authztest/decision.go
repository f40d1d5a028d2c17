package authztest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

var _ authz.DecisionStore = (*Decisions)(nil)

// Decisions remembers decisions in the process.
type Decisions struct {
	// Good tells whether a grant is good at a time.
	Good func(grant string, now time.Time) bool

	mu   sync.Mutex
	rows []authz.Decision
}

func about(a, b authz.Decision) bool {
	return a.Client == b.Client && a.Source == b.Source && a.Patient == b.Patient && a.PersonIssuer == b.PersonIssuer && a.PersonSubject == b.PersonSubject
}

// KeepDecision implements authz.DecisionStore.
func (m *Decisions) KeepDecision(_ context.Context, d authz.Decision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = append(slices.DeleteFunc(m.rows, func(have authz.Decision) bool { return about(have, d) }), d)
	return nil
}

// Decision implements authz.DecisionStore.
func (m *Decisions) Decision(_ context.Context, like authz.Decision, now time.Time) (authz.Decision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.rows {
		if about(d, like) && now.Before(d.Expires) && m.Good(d.Grant, now) {
			return d, nil
		}
	}
	return authz.Decision{}, token.ErrNotFound
}

// RunDecisionStore runs the suite; open gives an empty store and the one that
// keeps the grants.
func RunDecisionStore(t *testing.T, open func(t *testing.T) (authz.DecisionStore, token.Store)) {
	setup := func(t *testing.T) (authz.DecisionStore, token.Store, authz.Decision) {
		t.Helper()
		decisions, grants := open(t)
		for i, id := range []string{"g1", "g2"} {
			g := token.Grant{
				ID: id, Client: "app", Source: "demo", Patient: "p", PersonIssuer: "i", PersonSubject: "s", Scopes: "openid",
				AuthTime: now(), Created: now(), Expires: now().Add(time.Hour),
			}
			if err := grants.CreateGrant(t.Context(), g, token.Code{Digest: token.Digest{byte(i)}, Expires: now().Add(time.Minute)}); err != nil {
				t.Fatal(err)
			}
		}
		d := authz.Decision{
			Client: "app", Source: "demo", Patient: "p", PersonIssuer: "i", PersonSubject: "s",
			Asked: "openid patient/Observation.rs", Agreed: "openid patient/Observation.rs?category=http://x|y", Grant: "g1", Expires: now().Add(30 * time.Minute),
		}
		if err := decisions.KeepDecision(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		return decisions, grants, d
	}
	like := func(d authz.Decision) authz.Decision {
		return authz.Decision{Client: d.Client, Source: d.Source, Patient: d.Patient, PersonIssuer: d.PersonIssuer, PersonSubject: d.PersonSubject}
	}
	t.Run("a decision comes back as it was", func(t *testing.T) {
		s, _, d := setup(t)
		got, err := s.Decision(t.Context(), like(d), now())
		if diff := cmp.Diff(d, got, cmpopts.EquateApproxTime(0)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("another person, app, source or patient has none", func(t *testing.T) {
		s, _, d := setup(t)
		for _, change := range []func(*authz.Decision){
			func(d *authz.Decision) { d.Client = "other" },
			func(d *authz.Decision) { d.Source = "other" },
			func(d *authz.Decision) { d.Patient = "other" },
			func(d *authz.Decision) { d.PersonIssuer = "other" },
			func(d *authz.Decision) { d.PersonSubject = "other" },
		} {
			other := like(d)
			change(&other)
			_, err := s.Decision(t.Context(), other, now())
			wantNotFound(t, "Decision", err)
		}
	})
	t.Run("it ends when it says", func(t *testing.T) {
		s, _, d := setup(t)
		if _, err := s.Decision(t.Context(), like(d), d.Expires.Add(-time.Second)); err != nil {
			t.Error(err)
		}
		_, err := s.Decision(t.Context(), like(d), d.Expires)
		wantNotFound(t, "Decision", err)
	})
	t.Run("it ends with its grant", func(t *testing.T) {
		s, grants, d := setup(t)
		d.Expires = now().Add(48 * time.Hour)
		if err := s.KeepDecision(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		_, err := s.Decision(t.Context(), like(d), now().Add(time.Hour))
		wantNotFound(t, "Decision after the grant", err)
		if err := grants.RevokeGrant(t.Context(), d.Grant, now()); err != nil {
			t.Fatal(err)
		}
		_, err = s.Decision(t.Context(), like(d), now())
		wantNotFound(t, "Decision of a revoked grant", err)
	})
	t.Run("the last one counts", func(t *testing.T) {
		s, grants, d := setup(t)
		d.Asked, d.Agreed, d.Grant = "openid", "openid", "g2"
		if err := s.KeepDecision(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := grants.RevokeGrant(t.Context(), "g1", now()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Decision(t.Context(), like(d), now())
		if err != nil || got.Grant != "g2" || got.Asked != "openid" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
