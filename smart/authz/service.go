package authz

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

const grantClientCredentials = "client_credentials"

// serviceTTL is the longest that a token of a backend service lasts (SMART App
// Launch 2.2, "Backend Services": no more than five minutes).
const serviceTTL = 5 * time.Minute

// serviceGrant gives a backend service a token for itself (RFC 6749 §4.4; SMART
// App Launch 2.2, "Backend Services"). Nobody is asked: what it may have was
// agreed to when it was registered. No refresh token comes with it, and no
// patient: it opens nobody's record.
type serviceGrant struct{ s *Server }

func (g *serviceGrant) redeem(_ context.Context, app client.Client, p params) (redeemed, error) {
	// A secret that is sent each time is not enough here (SMART App Launch 2.2,
	// requirement 344).
	if app.Auth != client.PrivateKeyJWT {
		return redeemed{}, refuse(unauthorizedClient, "Only clients that authenticate with private_key_jwt may use client_credentials.")
	}
	scopes, err := g.scopes(app, p.get("scope"))
	if err != nil {
		return redeemed{}, err
	}
	source, err := g.source(app, p.get("resource"))
	if err != nil {
		return redeemed{}, err
	}
	now := g.s.o.Now()
	id, _ := token.NewSecret(g.s.o.Rand)
	return redeemed{
		grant: token.Grant{
			ID: id, Client: app.ID, Source: source.ID, Scopes: scopes, Created: now,
			Expires: now.Add(min(serviceTTL, g.s.o.AccessTTL)),
		},
		scopes: scopes, event: "service-authorized",
	}, nil
}

// scopes gives what of the scopes asked for the client was authorised for
// beforehand. What it was not is left out; when nothing is left, that is an
// error.
func (g *serviceGrant) scopes(app client.Client, asked string) (string, error) {
	words, err := scope.Words(asked)
	if err != nil {
		return "", &Error{Code: invalidScope, Description: "scope has characters that no scope has.", Status: http.StatusBadRequest, Err: err}
	}
	if len(words) == 0 {
		return "", refuse(invalidScope, "scope is missing.")
	}
	allowed, err := scope.Parse(app.Scopes)
	if err != nil {
		return "", &Error{Code: serverError, Description: "The app is not registered properly.", Status: http.StatusInternalServerError, Err: err}
	}
	var out scope.Set
	for _, w := range words {
		r, err := scope.ParseResource(w)
		if err != nil || r.Level != scope.System || (r.Type != scope.AnyType && !g.s.o.KnownType(r.Type)) {
			continue
		}
		r, ok := r.Narrow(g.s.o.Access)
		if !ok || !allowed.Includes(r) || slices.ContainsFunc(out.Resources, func(have scope.Resource) bool { return have.String() == r.String() }) {
			continue
		}
		out.Resources = append(out.Resources, r)
	}
	if out.Empty() {
		return "", refuse(invalidScope, "The client is not authorized for any of the scopes.")
	}
	return out.String(), nil
}

// source finds the FHIR base that the token is for: the one the client is
// registered for, or the one it names (RFC 8707 §2.2).
func (g *serviceGrant) source(app client.Client, resource string) (Source, error) {
	var open []Source
	for _, src := range g.s.o.Sources {
		if app.AllowsSource(src.ID) && (resource == "" || resource == src.Base || resource == src.Base+"/") {
			open = append(open, src)
		}
	}
	switch {
	case len(open) == 1:
		return open[0], nil
	case resource != "":
		return Source{}, refuse(invalidTarget, "resource is not a FHIR base that the client is registered for.")
	default:
		return Source{}, refuse(invalidTarget, "The client is registered for several FHIR bases: say which in resource.")
	}
}

// mintService makes the token. The grant comes to be with it.
func (s *Server) mintService(ctx context.Context, got redeemed) (tokenResponse, error) {
	g := got.grant
	secret, digest := token.NewSecret(s.o.Rand)
	err := s.o.Singles.CreateService(ctx, g, token.Access{Digest: digest, Scopes: got.scopes, Issued: g.Created, Expires: g.Expires})
	if err != nil {
		return tokenResponse{}, unavailable(err, "keep the token of a service")
	}
	return tokenResponse{
		AccessToken: secret, TokenType: "Bearer", ExpiresIn: int64(g.Expires.Sub(g.Created) / time.Second), Scope: got.scopes,
	}, nil
}
