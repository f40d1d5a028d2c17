package authz

import (
	"fmt"
	"slices"
	"time"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// How long things last, and why:
//
//   - A grant without offline_access or online_access ends with its one access
//     token: there is nothing with which its app could come back.
//   - With online_access it ends when the person's session must, whatever they
//     do (SMART App Launch 2.2, "Scopes for requesting a refresh token":
//     usable as long as the person is online).
//   - With offline_access it ends when the person chose that it should. A
//     refresh token ends earlier, when it is not used for RefreshTTL; each use
//     gives a new one that lasts as long again, so whoever keeps using an app
//     need not agree anew (45 CFR 170.315(g)(10)(v)(A): not less than three
//     months), and an app that nobody uses loses its access by itself.

const (
	// minRefreshTTL is three months at their longest.
	minRefreshTTL = 92 * 24 * time.Hour
	// defaultSessionTTL is used when nobody says how long sessions last.
	defaultSessionTTL = 8 * time.Hour
)

func checkLifetimes(o *Options) error {
	if o.RefreshTTL == 0 {
		o.RefreshTTL = minRefreshTTL
	}
	if o.SessionTTL == 0 {
		o.SessionTTL = defaultSessionTTL
	}
	switch {
	case o.GrantTTL != 0 && o.GrantTTL < codeTTL:
		return fmt.Errorf("authz: GrantTTL must be at least %s", codeTTL)
	case o.RefreshTTL < minRefreshTTL:
		return fmt.Errorf("authz: RefreshTTL must be at least %s", minRefreshTTL)
	case o.SessionTTL < 0:
		return fmt.Errorf("authz: SessionTTL must not be negative")
	}
	return nil
}

// refreshable tells whether tokens under these scopes come with a refresh token.
func refreshable(scopes scope.Set) bool {
	return scopes.Has(scope.OfflineAccess) || scopes.Has(scope.OnlineAccess)
}

// onlyLifetime tells whether a set says how long, but not what.
func onlyLifetime(scopes scope.Set) bool {
	return len(scopes.Resources) == 0 && !slices.ContainsFunc(scopes.Others, func(name string) bool {
		return name != scope.OfflineAccess && name != scope.OnlineAccess
	})
}

// grantEnd is when a grant of these scopes made at now ends. chosen is the end
// that the person wants, zero for none: they can only shorten.
func (s *Server) grantEnd(now time.Time, scopes scope.Set, chosen time.Time) time.Time {
	end := now.Add(codeTTL + s.o.AccessTTL)
	switch {
	case scopes.Has(scope.OfflineAccess):
		end = token.NoEnd
	case scopes.Has(scope.OnlineAccess):
		end = now.Add(s.o.SessionTTL)
	}
	if s.o.GrantTTL != 0 {
		end = earlier(end, now.Add(s.o.GrantTTL))
	}
	if !s.latest.IsZero() {
		end = earlier(end, s.latest)
	}
	if !chosen.IsZero() && chosen.Before(end) {
		return chosen
	}
	return end
}

// shownEnd is grantEnd for the consent page: zero when there is no end.
func (s *Server) shownEnd(now time.Time, scopes scope.Set) time.Time {
	if end := s.grantEnd(now, scopes, time.Time{}); !end.Equal(token.NoEnd) {
		return end
	}
	return time.Time{}
}

// forStep is the server with the lifetimes of a step's app, and no longer than
// the person may act for the patient.
func (s *Server) forStep(st step) *Server {
	own := *s.forApp(st.app)
	own.latest = st.patient.Until
	return &own
}

// earlier gives the first of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// forApp is the server with the lifetimes that were fixed for one app, within
// the bounds of all.
func (s *Server) forApp(app client.Client) *Server {
	if app.AccessTTL == 0 && app.GrantTTL == 0 {
		return s
	}
	own := *s
	if app.AccessTTL != 0 {
		own.o.AccessTTL = min(max(app.AccessTTL, minAccessTTL), maxAccessTTL)
	}
	if app.GrantTTL != 0 {
		own.o.GrantTTL = max(app.GrantTTL, codeTTL)
	}
	return &own
}
