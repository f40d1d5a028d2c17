package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/scope"
)

// Presence tells of people behind access tokens whether they are still there.
type Presence struct {
	Store Store
	// Online tells whether a person has a session that has not ended at now: by
	// signing out, at the provider too, or at its absolute limit.
	Online func(ctx context.Context, issuer, subject string, now time.Time) (bool, error)
	Now    func() time.Time
}

// Active says whether a token is good and, unless its grant is for the time when
// nobody is there (offline_access), the person is signed in. It decides what is
// done ahead of requests, and no request: who signs out leaves an app with what
// it has until that ends. An error means that it cannot be told.
func (p Presence) Active(ctx context.Context, d Digest) (bool, error) {
	now := p.Now()
	_, g, err := p.Store.Access(ctx, d, now)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up an access token: %w", err)
	}
	scopes, err := scope.Parse(g.Scopes)
	if err != nil {
		return false, fmt.Errorf("the scopes of a stored grant: %w", err)
	}
	if scopes.Has(scope.OfflineAccess) {
		return true, nil
	}
	online, err := p.Online(ctx, g.PersonIssuer, g.PersonSubject, now)
	if err != nil {
		return false, fmt.Errorf("ask whether a person is signed in: %w", err)
	}
	return online, nil
}
