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
	Sources  []string  // sources at which the person's links were renewed at this sign-in
	AuthTime time.Time // zero when the provider does not say when
	ACR      string
	AMR      []string
	SID      string // the session's id at the provider, "" when it gave none
	IDToken  string // sealed; it is shown to the provider at logout
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
	// EndSessions uses up the logout token with this digest, removes the
	// sessions that e means, both or neither, and says how many there were. A
	// token that was used before, which is remembered until its end, is
	// ErrLogoutUsed and removes nothing.
	EndSessions(ctx context.Context, e Ending) (int, error)
}

// ErrLogoutUsed says that a logout token was used before.
var ErrLogoutUsed = errors.New("login: the logout token was used before")

// Ending says which sessions end (OpenID Connect Back-Channel Logout 1.0 §2.4):
// with a SID, those with it and, of Subject, those without any, of which nobody
// can know that they are others; without SID, all of Subject. Both empty: none.
type Ending struct {
	Issuer, Subject, SID string

	Token   [32]byte  // digest of the logout token
	Expires time.Time // until when it could be used again
}

// Means tells whether a session is meant.
func (e Ending) Means(s Session) bool {
	if s.Issuer != e.Issuer {
		return false
	}
	ofSubject := e.Subject != "" && s.Subject == e.Subject
	if e.SID == "" {
		return ofSubject
	}
	if s.SID == "" {
		return ofSubject
	}
	return s.SID == e.SID && (e.Subject == "" || ofSubject)
}
