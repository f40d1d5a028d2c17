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

// lifetimes are how long what an app gets may last.
type lifetimes struct {
	access  time.Duration // an access token
	grant   time.Duration // a person's yes; 0: until they end it
	session time.Duration // a sign-in
	latest  time.Time     // no grant ends later; zero: nothing says so
}

// lifetimesOf gives those that were fixed for one app, within the bounds of all.
func (s *Server) lifetimesOf(app client.Client) lifetimes {
	l := lifetimes{access: s.o.AccessTTL, grant: s.o.GrantTTL, session: s.o.SessionTTL}
	if app.AccessTTL != 0 {
		l.access = min(max(app.AccessTTL, minAccessTTL), maxAccessTTL)
	}
	if app.GrantTTL != 0 {
		l.grant = max(app.GrantTTL, codeTTL)
	}
	return l
}

// lifetimesAt gives those of a step's app: no longer than the person may act for
// the patient.
func (s *Server) lifetimesAt(st step) lifetimes {
	l := s.lifetimesOf(st.app)
	l.latest = st.patient.Until
	return l
}

// grantEnd is when a grant of these scopes made at now ends. chosen is the end
// that the person wants, zero for none: they can only shorten.
func (l lifetimes) grantEnd(now time.Time, scopes scope.Set, chosen time.Time) time.Time {
	end := now.Add(codeTTL + l.access)
	switch {
	case scopes.Has(scope.OfflineAccess):
		end = token.NoEnd
	case scopes.Has(scope.OnlineAccess):
		end = now.Add(l.session)
	}
	if l.grant != 0 {
		end = earlier(end, now.Add(l.grant))
	}
	if !l.latest.IsZero() {
		end = earlier(end, l.latest)
	}
	if !chosen.IsZero() && chosen.Before(end) {
		return chosen
	}
	return end
}

// shownEnd is grantEnd for the consent page: zero when there is no end.
func (l lifetimes) shownEnd(now time.Time, scopes scope.Set) time.Time {
	if end := l.grantEnd(now, scopes, time.Time{}); !end.Equal(token.NoEnd) {
		return end
	}
	return time.Time{}
}

// earlier gives the first of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
