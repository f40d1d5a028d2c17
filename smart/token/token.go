// Package token owns grants and what is minted from them: authorization codes,
// opaque access tokens and id_tokens. A token is 256 random bits; only its
// SHA-256 is kept. It knows neither HTTP nor records.
package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// Digest is the SHA-256 of a secret as it is kept.
type Digest [sha256.Size]byte

// Grant is a person's yes to one app for one patient and a set of scopes.
type Grant struct {
	ID            string
	Client        string // client_id
	Source        string // source id; a token is good there and nowhere else
	Patient       string // Patient id at the source
	PersonIssuer  string
	PersonSubject string
	FHIRUser      string    // relative reference of the person who agreed
	Scopes        string    // as granted, space separated
	AuthTime      time.Time // when the person authenticated
	Created       time.Time
	Expires       time.Time
}

// Code is an authorization code waiting to be exchanged (RFC 6749 §4.1.2).
type Code struct {
	Digest      Digest
	RedirectURI string
	Challenge   string // PKCE S256 code_challenge
	Nonce       string // OIDC nonce, "" when none was sent
	Expires     time.Time
}

// Access is an access token.
type Access struct {
	Digest  Digest
	Scopes  string
	Issued  time.Time
	Expires time.Time
}

// ErrNotFound says that there is no such code, token or grant, or that it is
// used, revoked or over.
var ErrNotFound = errors.New("token: not found")

// Store keeps grants, codes and tokens.
type Store interface {
	// CreateGrant keeps a grant and the code for it, both or neither.
	CreateGrant(ctx context.Context, g Grant, c Code) error
	// UseCode uses up a code with one atomic statement and gives it with its
	// grant. A code that was used before revokes its grant and is ErrNotFound
	// (RFC 6749 §4.1.2); so is an unknown, expired or revoked one.
	UseCode(ctx context.Context, d Digest, now time.Time) (Code, Grant, error)
	// CreateAccess keeps an access token under a grant that is still good;
	// otherwise ErrNotFound.
	CreateAccess(ctx context.Context, grant string, a Access) error
	// Access gives a token with its grant if both are good at now, otherwise
	// ErrNotFound.
	Access(ctx context.Context, d Digest, now time.Time) (Access, Grant, error)
	// RevokeGrant ends a grant and every token under it at once.
	RevokeGrant(ctx context.Context, id string, now time.Time) error
}

// Key is a signing key as it is kept.
type Key struct {
	ID      string // kid
	Alg     string // RS256
	PKCS8   []byte // private key, DER
	Created time.Time
	Retired time.Time // zero: in use
}

// KeyStore keeps signing keys.
type KeyStore interface {
	// Keys gives all keys that may still verify something, newest first.
	Keys(ctx context.Context) ([]Key, error)
	// AddKey keeps a new key; when another replica added one first, that is no
	// error: call Keys again.
	AddKey(ctx context.Context, k Key) error
}
