// Package token owns grants and what is minted from them: authorization codes,
// opaque access tokens and id_tokens. A token is 256 random bits; only its
// SHA-256 is kept. It knows neither HTTP nor records.
package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
	Context       string    // of a launch: members of each token response as one JSON object; "" for none
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

// ErrReplayed says that a code was used before; the grant it stood for is
// revoked. It is an ErrNotFound too, so whoever does not care need not know.
var ErrReplayed = fmt.Errorf("%w: code was used before", ErrNotFound)

// Store keeps grants, codes and tokens. Something is good at now when now is
// before its Expires. Times survive to the second at least. tokentest.RunStore
// holds every implementation to what is said here.
type Store interface {
	// CreateGrant keeps a grant and the code for it, both or neither.
	CreateGrant(ctx context.Context, g Grant, c Code) error
	// UseCode uses up a code with one atomic statement and gives it with its
	// grant. A code that was used before, be it long ago or by a caller who won
	// the same race, revokes its grant and is ErrReplayed, with the grant
	// (RFC 6749 §4.1.2). An unknown or expired one, or one whose grant is
	// revoked or over, is ErrNotFound.
	UseCode(ctx context.Context, d Digest, now time.Time) (Code, Grant, error)
	// CreateAccess keeps an access token under a grant that is still good at
	// a.Issued; otherwise ErrNotFound.
	CreateAccess(ctx context.Context, grant string, a Access) error
	// Access gives a token with its grant if both are good at now, otherwise
	// ErrNotFound.
	Access(ctx context.Context, d Digest, now time.Time) (Access, Grant, error)
	// RevokeGrant ends a grant and every code and token under it at once. To
	// revoke an unknown or revoked grant is no error.
	RevokeGrant(ctx context.Context, id string, now time.Time) error
}

// Key is a signing key as it is kept.
type Key struct {
	ID      string // kid
	Alg     string // RS256 or ES256 of id_tokens, RS384 or ES384 towards EHRs
	PKCS8   []byte // private key, DER
	Created time.Time
	Retired time.Time // from when it signs nothing more; zero: in use
}

// KeyStore keeps signing keys. tokentest.RunKeyStore holds every implementation
// to what is said here.
type KeyStore interface {
	// Keys gives all keys there are, newest first.
	Keys(ctx context.Context) ([]Key, error)
	// RotateKey retires the keys of k's Alg that are in use at the time retire
	// and keeps k, all or nothing. Those that are to retire already keep their
	// time, unless retire is before it.
	RotateKey(ctx context.Context, k Key, retire time.Time) error
	// AddKey keeps a new key unless there is one already that has the same Alg
	// and is in use; both are no error: call Keys again. So replicas that start
	// together end with one key. It decides with one atomic statement.
	AddKey(ctx context.Context, k Key) error
}
