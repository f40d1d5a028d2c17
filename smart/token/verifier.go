package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

// Verifier turns a bearer token into what it stands for.
type Verifier struct {
	Store Store
	Now   func() time.Time
}

// Authenticate gives the grant behind a bearer token, the token itself and what
// it allows. Grant.Source is the one source it is good at: the caller compares.
//
// A token that is malformed, unknown, expired or revoked is
// fault.Unauthenticated, all in the same words; a store that cannot be asked is
// fault.Unavailable.
func (v Verifier) Authenticate(ctx context.Context, bearer string) (Grant, Access, scope.Set, error) {
	if !wellFormed(bearer) {
		return Grant{}, Access{}, scope.Set{}, errNotGood
	}
	access, grant, err := v.Store.Access(ctx, DigestOf(bearer), v.Now())
	switch {
	case errors.Is(err, ErrNotFound):
		return Grant{}, Access{}, scope.Set{}, errNotGood
	case err != nil:
		return Grant{}, Access{}, scope.Set{}, fault.Wrap(fmt.Errorf("look up an access token: %w", err),
			fault.Unavailable, "Access tokens cannot be checked at the moment.")
	}
	scopes, err := scope.Parse(access.Scopes)
	if err != nil {
		return Grant{}, Access{}, scope.Set{}, fault.Wrap(fmt.Errorf("the scopes of a stored token: %w", err),
			fault.Internal, "This access token cannot be understood.")
	}
	if (grant.Patient == "" && !grant.Service()) || grant.Source == "" {
		// A person's grant is for somebody's record; without a patient there is
		// nobody whose it could be. A service's has none by right: the guard
		// opens nothing to it.
		return Grant{}, Access{}, scope.Set{}, fault.New(fault.Internal, "This access token cannot be understood.")
	}
	return grant, access, scopes, nil
}

var errNotGood = fault.New(fault.Unauthenticated, "The access token is missing, expired, revoked or not known here.")
