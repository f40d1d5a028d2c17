package token

import (
	"context"
	"time"
)

// NoEnd is the Expires of a grant that lasts until the person ends it. Its
// refresh tokens still end when they are not used.
var NoEnd = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Refresh is a refresh token (RFC 6749 §1.5). It has the scopes of its grant:
// an app may get an access token for fewer, but what it can refresh stays
// (RFC 6749 §6).
type Refresh struct {
	Digest  Digest
	Issued  time.Time
	Expires time.Time
}

// RefreshStore keeps refresh tokens. All of one grant are a family: each is
// used once, and the use of a used one ends the grant with everything under it.
// tokentest.RunRefreshStore holds every implementation to what is said here.
type RefreshStore interface {
	// CreateRefresh keeps a refresh token under a grant that is still good at
	// r.Issued; otherwise ErrNotFound.
	CreateRefresh(ctx context.Context, grant string, r Refresh) error
	// UseRefresh uses up a refresh token with one atomic statement and gives
	// its grant. One that was used before, be it by a caller who won the same
	// race, revokes its grant and is ErrReplayed, with the grant (RFC 9700
	// §4.14.2); that is known at least until it expires. An unknown or expired
	// one, or one whose grant is revoked or over, is ErrNotFound.
	UseRefresh(ctx context.Context, d Digest, now time.Time) (Grant, error)
	// Refresh gives a token that could be used at now, with its grant, and does
	// not use it up; otherwise ErrNotFound.
	Refresh(ctx context.Context, d Digest, now time.Time) (Refresh, Grant, error)
}

// AccessStore keeps access tokens for which nobody gave a code, and ends single
// ones. tokentest.RunAccessStore holds every implementation to what is said
// here.
type AccessStore interface {
	// CreateService keeps a grant to a service itself, which is nobody's yes,
	// and the access token for it, both or neither.
	CreateService(ctx context.Context, g Grant, a Access) error
	// RevokeAccess ends one access token and nothing else. To end an unknown
	// one is no error.
	RevokeAccess(ctx context.Context, d Digest) error
}

// Service tells whether the grant is to a service itself: no person stands
// behind it, and no patient (SMART App Launch 2.2, "Backend Services").
func (g Grant) Service() bool { return g.PersonSubject == "" && g.Patient == "" }
