package authz

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
)

const grantAuthorizationCode = "authorization_code"

// codeGrant exchanges an authorization code (RFC 6749 §4.1.3).
type codeGrant struct{ s *Server }

// redeem uses the code up before it looks at what came with it: of a code that
// somebody tries with a wrong verifier, redirect URI or client, nobody should
// have a second try. Two exchanges at the same moment are a replay as well
// (RFC 6749 §4.1.2): which of them is the thief's, nobody can tell, so the
// grant ends and the person is asked again.
func (g *codeGrant) redeem(ctx context.Context, app client.Client, p params) (redeemed, error) {
	code, redirectURI, verifier := p.get("code"), p.get("redirect_uri"), p.get("code_verifier")
	switch {
	case code == "":
		return redeemed{}, refuse(invalidRequest, "code is missing.")
	case redirectURI == "":
		return redeemed{}, refuse(invalidRequest, "redirect_uri is missing.")
	case verifier == "":
		return redeemed{}, refuse(invalidRequest, "code_verifier is missing.")
	}
	if err := g.s.o.Answered.ForgetAnswer(ctx, token.DigestOf(code)); err != nil {
		return redeemed{}, unavailable(err, "forget an answer")
	}
	kept, grant, err := g.s.o.Tokens.UseCode(ctx, token.DigestOf(code), g.s.o.Now())
	switch {
	case errors.Is(err, token.ErrReplayed):
		// The store has revoked the grant already; to record it comes second.
		if err := g.s.record(ctx, "code-replayed", grant); err != nil {
			reqctx.From(ctx).Fail(unavailable(err, "record a replay"))
		}
		return redeemed{}, errBadCode()
	case errors.Is(err, token.ErrNotFound):
		return redeemed{}, errBadCode()
	case err != nil:
		return redeemed{}, unavailable(err, "use up a code")
	}
	if reason := mismatch(kept, grant, app, redirectURI, verifier); reason != "" {
		if err := g.s.record(ctx, "code-refused", grant); err != nil {
			reqctx.From(ctx).Fail(unavailable(err, "record a refused code"))
		}
		return redeemed{}, g.s.abandon(ctx, grant, refuse(invalidGrant, "%s", reason))
	}
	return redeemed{grant: grant, scopes: grant.Scopes, nonce: kept.Nonce, event: "code-exchanged"}, nil
}

func errBadCode() error {
	return refuse(invalidGrant, "The code is unknown, used, expired or revoked.")
}

// mismatch says what of the exchange is not as it was in the authorization
// request, "" when all is.
func mismatch(kept token.Code, grant token.Grant, app client.Client, redirectURI, verifier string) string {
	switch {
	case grant.Client != app.ID:
		return "The code was issued to another app."
	case !app.AllowsSource(grant.Source):
		return "The app is no longer registered for this FHIR base."
	case kept.RedirectURI != redirectURI:
		return "redirect_uri is not the one of the authorization request."
	case !verifies(verifier, kept.Challenge):
		return "code_verifier does not match the code_challenge."
	}
	return ""
}

// The length of a code verifier (RFC 7636 §4.1).
const (
	minVerifier = 43
	maxVerifier = 128
)

// verifies checks PKCE (RFC 7636 §4.6). A kept code without challenge, which
// cannot be, verifies nothing.
func verifies(verifier, challenge string) bool {
	if len(verifier) < minVerifier || len(verifier) > maxVerifier || !isUnreserved(verifier) || challenge == "" {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	got := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(got), []byte(challenge)) == 1
}

func isUnreserved(s string) bool {
	return isBase64URL(strings.NewReplacer(".", "", "~", "").Replace(s))
}
