package authz

import (
	"context"
	"errors"
	"net/http"

	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
)

// serveRevoke is the revocation endpoint (RFC 7009 §2). A refresh token takes
// its whole grant with it, access tokens too; an access token goes alone. Every
// client may end its own tokens, a public one as well: it has proved that it
// has them.
func (s *Server) serveRevoke(w http.ResponseWriter, r *http.Request) error {
	p, app, err := s.readClient(w, r)
	if err != nil {
		return err
	}
	secret := p.get("token")
	if secret == "" {
		return refuse(invalidRequest, "token is missing.")
	}
	// The app going away changes nothing.
	if err := s.revoke(context.WithoutCancel(r.Context()), app, token.DigestOf(secret)); err != nil {
		return err
	}
	// RFC 7009 §2.2: 200, also when there was no such token; the content is
	// ignored, but those who read every answer as JSON should find some.
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

// revoke ends a token. What is over already needs no end.
func (s *Server) revoke(ctx context.Context, app client.Client, d token.Digest) error {
	now := s.o.Now()
	_, grant, err := s.o.Tokens.Access(ctx, d, now)
	if err == nil {
		if err := s.revocable(ctx, app, grant); err != nil {
			return err
		}
		return unavailable(s.o.Singles.RevokeAccess(ctx, d), "revoke an access token")
	}
	if !errors.Is(err, token.ErrNotFound) {
		return unavailable(err, "look up an access token")
	}
	_, grant, err = s.o.Refresh.Refresh(ctx, d, now)
	switch {
	case errors.Is(err, token.ErrNotFound):
		return nil
	case err != nil:
		return unavailable(err, "look up a refresh token")
	}
	if err := s.revocable(ctx, app, grant); err != nil {
		return err
	}
	return unavailable(s.o.Tokens.RevokeGrant(ctx, grant.ID, now), "revoke a grant")
}

// revocable makes sure that the token is the app's own (RFC 7009 §2.1), and
// writes down that it ends. If it cannot be written down it ends all the same:
// to end access can be put off for nothing.
func (s *Server) revocable(ctx context.Context, app client.Client, g token.Grant) error {
	if g.Client != app.ID {
		return refuse(invalidGrant, "The token was issued to another app.")
	}
	if err := s.record(ctx, "token-revoked", g); err != nil {
		reqctx.From(ctx).Fail(unavailable(err, "record a revocation"))
	}
	return nil
}
