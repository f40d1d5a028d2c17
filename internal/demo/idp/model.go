package idp

import (
	"context"
	"crypto/ecdsa"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// authRequest is a person on the way through the sign-in page.
type authRequest struct {
	id, client, redirectURI string
	state, nonce, hint      string
	scopes                  []string
	responseMode            oidc.ResponseMode
	challenge               oidc.CodeChallenge
	expires                 time.Time

	subject  string // "" until somebody has signed in
	amr      []string
	authTime time.Time
	code     bool // the code has been given
}

var _ op.AuthRequest = authRequest{}

func (r authRequest) GetID() string                         { return r.id }
func (r authRequest) GetACR() string                        { return "" }
func (r authRequest) GetAMR() []string                      { return r.amr }
func (r authRequest) GetAudience() []string                 { return []string{r.client} }
func (r authRequest) GetAuthTime() time.Time                { return r.authTime }
func (r authRequest) GetClientID() string                   { return r.client }
func (r authRequest) GetCodeChallenge() *oidc.CodeChallenge { return &r.challenge }
func (r authRequest) GetNonce() string                      { return r.nonce }
func (r authRequest) GetRedirectURI() string                { return r.redirectURI }
func (r authRequest) GetResponseType() oidc.ResponseType    { return oidc.ResponseTypeCode }
func (r authRequest) GetResponseMode() oidc.ResponseMode    { return r.responseMode }
func (r authRequest) GetScopes() []string                   { return r.scopes }
func (r authRequest) GetState() string                      { return r.state }
func (r authRequest) GetSubject() string                    { return r.subject }
func (r authRequest) Done() bool                            { return r.subject != "" }

// client is a Client as the library sees it.
type client struct{ Client }

var _ op.Client = (*client)(nil)

func (c *client) GetID() string                       { return c.ID }
func (c *client) RedirectURIs() []string              { return c.Client.RedirectURIs }
func (c *client) PostLogoutRedirectURIs() []string    { return c.Client.PostLogoutRedirectURIs }
func (c *client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c *client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c *client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *client) GrantTypes() []oidc.GrantType         { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c *client) LoginURL(id string) string            { return "/login?request=" + id }
func (c *client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c *client) IDTokenLifetime() time.Duration       { return 5 * time.Minute }
func (c *client) DevMode() bool                        { return false }
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c *client) ClockSkew() time.Duration             { return 0 }
func (c *client) IsScopeAllowed(string) bool           { return true } // so that furtherChecks sees them all
func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:staticcheck // ST1003: the name is the library\'s
	return same
}

func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return same }

func same(scopes []string) []string { return scopes }

// signingKey is the key of this process.
type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }

// publicKey is its public half.
type publicKey struct{ signingKey }

func (k publicKey) Key() any                           { return k.key.Public() }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }

// SigningKey gives the key that signs.
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

// SignatureAlgorithms gives the only one there is.
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

// KeySet gives the public keys.
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{s.key}}, nil
}
