// Package login is the OpenID Connect relying party: it sends people to the
// health system's provider, checks what comes back and keeps the browser
// session. It knows neither apps nor scopes nor records.
package login

import (
	"context"
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
	AuthTime time.Time
	Created  time.Time
	Seen     time.Time // last use, for the idle limit
	Expires  time.Time // absolute limit
}

// SessionStore keeps sessions.
type SessionStore interface {
	CreateSession(ctx context.Context, s Session) error
	// Session gives one that has not expired and was seen after idleSince, and
	// marks it as seen now; otherwise ErrNoSession.
	Session(ctx context.Context, digest [32]byte, now, idleSince time.Time) (Session, error)
	DeleteSession(ctx context.Context, digest [32]byte) error
}
