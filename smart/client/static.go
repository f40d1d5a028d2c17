package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Options say what Static needs.
type Options struct {
	Clients []Client
	// CheckScopes, when set, says what is wrong with a client's Scopes, so that
	// a mistake shows at start.
	CheckScopes func(scopes string) error
}

// Static is a registry that does not change while it runs.
type Static struct{ clients map[string]Client }

var _ Registry = (*Static)(nil)

// NewStatic refuses clients that cannot be meant.
func NewStatic(o Options) (*Static, error) {
	s := &Static{clients: make(map[string]Client, len(o.Clients))}
	for _, c := range o.Clients {
		if err := Check(c, o.CheckScopes); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.ID, err)
		}
		if _, ok := s.clients[c.ID]; ok {
			return nil, fmt.Errorf("client %q: there are two of this id", c.ID)
		}
		c.SecretSHA256 = slices.Clone(c.SecretSHA256)
		c.RedirectURIs = slices.Clone(c.RedirectURIs)
		c.Sources = slices.Clone(c.Sources)
		c.LaunchURIs = slices.Clone(c.LaunchURIs)
		c.JWKS = slices.Clone(c.JWKS)
		s.clients[c.ID] = c
	}
	return s, nil
}

// Client implements Registry.
func (s *Static) Client(_ context.Context, id string) (Client, error) {
	c, ok := s.clients[id]
	if !ok {
		return Client{}, ErrUnknown
	}
	return c, nil
}

// All gives every client, by id.
func (s *Static) All() []Client {
	out := make([]Client, 0, len(s.clients))
	for _, id := range slices.Sorted(maps.Keys(s.clients)) {
		out = append(out, s.clients[id])
	}
	return out
}

// maxID keeps ids fit for logs, columns and the aud claim.
const maxID = 255

// ErrRedirect says that what is wrong with a client are its redirect URIs.
var ErrRedirect = errors.New("redirect URI")

// Check says why a client cannot be meant; nil when it can. A mistake in its
// redirect URIs is an ErrRedirect.
func Check(c Client, checkScopes func(string) error) error {
	if c.ID == "" || len(c.ID) > maxID || !printable(c.ID) {
		return errors.New("its id must be 1 to 255 printable ASCII characters without spaces")
	}
	if c.Name == "" {
		return errors.New("it needs a name: people are asked whether they trust it")
	}
	if err := checkSecret(c); err != nil {
		return err
	}
	if err := checkRedirects(c); err != nil {
		return err
	}
	for _, uri := range c.LaunchURIs {
		if err := checkWeb(uri); err != nil {
			return fmt.Errorf("launch URI %q: %w", uri, err)
		}
	}
	if slices.Contains(c.Sources, "") {
		return errors.New("one of its sources has no id")
	}
	if c.IDTokenAlg != "" && c.IDTokenAlg != "RS256" && c.IDTokenAlg != "ES256" {
		return errors.New("its id_tokens can be signed with RS256 or ES256 only")
	}
	if c.AccessTTL < 0 || c.GrantTTL < 0 {
		return errors.New("its lifetimes must not be negative")
	}
	if c.Scopes != "" && checkScopes != nil {
		if err := checkScopes(c.Scopes); err != nil {
			return fmt.Errorf("its scopes: %w", err)
		}
	}
	return nil
}

// checkRedirects asks for a redirect URI of every client that people could be
// sent back to: all but those that speak for nobody (backend services).
func checkRedirects(c Client) error {
	if len(c.RedirectURIs) == 0 && c.Auth != PrivateKeyJWT {
		return fmt.Errorf("it needs a %w", ErrRedirect)
	}
	for i, uri := range c.RedirectURIs {
		if err := checkRedirect(uri); err != nil {
			return fmt.Errorf("%w %q: %w", ErrRedirect, uri, err)
		}
		if slices.Contains(c.RedirectURIs[:i], uri) {
			return fmt.Errorf("%w %q stands twice", ErrRedirect, uri)
		}
	}
	isLoopback := func(uri string) bool { _, ok := parseLoopback(uri); return ok }
	if c.AnyLoopbackPort && !slices.ContainsFunc(c.RedirectURIs, isLoopback) {
		return errors.New("any loopback port makes sense with a redirect URI to http://localhost, http://127.0.0.1 or http://[::1] only")
	}
	return nil
}

// checkWeb holds a URL that browsers are sent to, and that is no redirect URI,
// to the same form.
func checkWeb(uri string) error {
	if err := checkRedirect(uri); err != nil {
		return err
	}
	if !strings.HasPrefix(uri, "http") {
		return errors.New("use https")
	}
	return nil
}

func checkSecret(c Client) error {
	hasSecret, hasKeys := len(c.SecretSHA256) > 0 || c.SecretHash != "", len(c.JWKS) > 0 || c.JWKSURI != ""
	switch c.Auth {
	case Public:
		if hasSecret {
			return errors.New("a public client has no secret; is it confidential?")
		}
		return nil
	case PrivateKeyJWT:
		switch {
		case hasSecret:
			return errors.New("a client with a key has no secret")
		case !hasKeys:
			return errors.New("it needs its public keys, by value or by URL")
		case len(c.JWKS) > 0 && c.JWKSURI != "":
			return errors.New("its keys stand by value or by URL, not both")
		case len(c.JWKS) > 0:
			if _, err := ParseJWKS(c.JWKS); err != nil {
				return fmt.Errorf("its keys: %w", err)
			}
		}
		return nil
	case SecretBasic:
		return checkDigest(c)
	default:
		return fmt.Errorf("its authentication method %q is neither %s nor %s nor %s", c.Auth, Public, SecretBasic, PrivateKeyJWT)
	}
}

func checkDigest(c Client) error {
	if c.SecretHash != "" {
		if _, ok := parseHash(c.SecretHash); !ok || len(c.SecretSHA256) > 0 {
			return errors.New("the hash of its secret cannot be read")
		}
		return nil
	}
	if len(c.SecretSHA256) != sha256.Size {
		return errors.New("a confidential client needs the SHA-256 of its secret (32 bytes)")
	}
	if empty := sha256.Sum256(nil); bytes.Equal(c.SecretSHA256, empty[:]) {
		return errors.New("its secret is empty")
	}
	return nil
}
