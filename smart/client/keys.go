package client

import (
	"context"
	"errors"

	"github.com/go-jose/go-jose/v4"
)

// ErrNoKey says that a client has no key that fits.
var ErrNoKey = errors.New("client: no such key")

// KeySource finds the public keys of clients that authenticate with
// private_key_jwt (SMART App Launch 2.2, "Client Authentication: Asymmetric").
type KeySource interface {
	// Keys gives the client's signing keys of this kid: never none and never
	// private ones. ErrNoKey says that there is none, now that it was looked
	// for again; fetch.ErrRefused and fetch.ErrFailed, wrapped, that the keys
	// could not be had. Several keys may share a kid; their kty tells them
	// apart.
	Keys(ctx context.Context, c Client, kid string) ([]jose.JSONWebKey, error)
}
