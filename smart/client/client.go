// Package client owns what an app is: its identity, how it authenticates, where
// it may be redirected to and which scopes it may ask for. It knows neither
// people nor tokens.
package client

import (
	"context"
	"errors"
)

// Auth is how a client authenticates at the token endpoint.
type Auth string

// The methods of SMART App Launch 2.2. private_key_jwt follows with its keys.
const (
	Public      Auth = "none"
	SecretBasic Auth = "client_secret_basic" // client_secret_post is accepted as well
)

// ErrUnknown says that there is no such client (or that it may not be used).
var ErrUnknown = errors.New("client: unknown client")

// Client is one registered app.
type Client struct {
	ID           string
	Name         string
	Owner        string // who answers for it, shown on the consent page
	URL          string // the app's home page, "" when none
	Auth         Auth
	SecretSHA256 []byte   // SHA-256 of a high-entropy secret; nil for public clients
	RedirectURIs []string // compared exactly; see AnyLoopbackPort
	// AnyLoopbackPort lets the port of a loopback redirect vary (RFC 8252 §7.3).
	AnyLoopbackPort bool
	Scopes          string   // what it may ask for, space separated; "" means anything a patient app may have
	Sources         []string // source ids it may be used with; empty: all
}

// Registry finds clients.
type Registry interface {
	// Client gives the client, or ErrUnknown.
	Client(ctx context.Context, id string) (Client, error)
}
