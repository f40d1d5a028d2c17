// Package login is the OpenID Connect relying party: it sends people to the
// health system's provider, checks what comes back and keeps the browser
// session. It knows neither apps nor scopes nor records.
package login

import (
	"context"
	"errors"
	"time"
)

// Session is a browser in which somebody has signed in. Only the SHA-256 of its
// cookie is kept.
type Session struct {
	Digest   [32]byte
	Provider string // identity provider id in the configuration
	Issuer   string
	Subject  string
	Name     string
	Sources  []string // sources at which the person's links were renewed at this sign-in
	AuthTime time.Time
	Created  time.Time
	Seen     time.Time // last use, for the idle limit
	Expires  time.Time // absolute limit
}

// ErrNoSession says that there is no session with that digest, or no longer.
var ErrNoSession = errors.New("login: no such session")

// SessionStore keeps sessions. Times are kept to the second at least.
type SessionStore interface {
	// CreateSession keeps s. A digest that is already there is an error and
	// changes nothing.
	CreateSession(ctx context.Context, s Session) error
	// Session gives one that has not expired (now is before Expires) and was
	// seen after idleSince, and marks it as seen now; otherwise ErrNoSession,
	// and nothing is marked. Seen never moves backwards.
	Session(ctx context.Context, digest [32]byte, now, idleSince time.Time) (Session, error)
	// DeleteSession removes one; that it is not there is no error.
	DeleteSession(ctx context.Context, digest [32]byte) error
}
