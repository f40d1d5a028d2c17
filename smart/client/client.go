// Package client owns what an app is: its identity, how it authenticates, where
// it may be redirected to and which scopes it may ask for. It knows neither
// people nor tokens, and not what a scope means.
package client

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Auth is how a client authenticates at the token endpoint.
type Auth string

// The methods of SMART App Launch 2.2.
const (
	Public        Auth = "none"
	SecretBasic   Auth = "client_secret_basic" // client_secret_post is accepted as well
	PrivateKeyJWT Auth = "private_key_jwt"
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
	SecretSHA256 []byte   // SHA-256 of a high-entropy secret that is kept elsewhere; nil for others
	SecretHash   string   // argon2id of a secret that is kept nowhere, see HashSecret
	RedirectURIs []string // compared exactly; see AnyLoopbackPort
	// AnyLoopbackPort lets the port of a loopback redirect vary (RFC 8252 §7.3).
	AnyLoopbackPort bool
	Scopes          string   // what it may ask for, space separated; "" means anything a patient app may have
	Sources         []string // source ids it may be used with; empty: all

	Logo       string   // URL of an image, "" when none
	Contacts   []string // e-mail addresses of those who answer for it
	Terms      string   // URL of its terms of service
	Policy     string   // URL of its privacy policy
	LaunchURIs []string // where an EHR launch may start it

	// How long its tokens and people's yes to it last; 0: as the server says.
	AccessTTL time.Duration
	GrantTTL  time.Duration

	JWKS    []byte // its public keys by value (RFC 7517 §5), nil when none
	JWKSURI string // or by URL
	// Introspects lets it ask about everybody's tokens, as a resource server does.
	Introspects bool
	IDTokenAlg  string // the algorithm of its id_tokens; "": RS256
}

// Registry finds clients.
type Registry interface {
	// Client gives the client, or ErrUnknown.
	Client(ctx context.Context, id string) (Client, error)
}

// Confidential tells whether the client must prove itself.
func (c Client) Confidential() bool { return c.Auth != Public }

// AllowsSource tells whether the client may be used with a source.
func (c Client) AllowsSource(id string) bool {
	return len(c.Sources) == 0 || slices.Contains(c.Sources, id)
}

// AllowsRedirect tells whether uri is one of the client's redirect URIs: the
// same string (RFC 9700 §4.1.3) or, with AnyLoopbackPort, the same string but
// for the port of a loopback address.
func (c Client) AllowsRedirect(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if !c.AnyLoopbackPort {
		return false
	}
	got, ok := parseLoopback(uri)
	return ok && slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		want, ok := parseLoopback(registered)
		return ok && want == got
	})
}
