package authz

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// grantHandler serves one grant_type: it fills in what is its own, and the
// phases that all share stay in serveToken, so that none can be forgotten.
type grantHandler interface {
	// redeem checks what the app presents and uses it up, once, before anything
	// is minted. What it refuses is an *Error.
	redeem(ctx context.Context, app client.Client, p params) (redeemed, error)
}

// redeemed is what tokens are minted from.
type redeemed struct {
	grant  token.Grant
	scopes string // of the access token: the grant's or fewer
	nonce  string
	event  string // what the recorder writes down

	idTokenAlg string        // as the client wants it
	accessTTL  time.Duration // as it was fixed for the client
}

// tokenResponse is the answer (RFC 6749 §5.1; SMART App Launch 2.2, "Obtain
// access token": context parameters stand beside access_token).
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Patient      string `json:"patient,omitempty"`
	contextMembers
}

func (s *Server) grantTypes() []string { return slices.Sorted(maps.Keys(s.grants)) }

// serveToken is the token endpoint (RFC 6749 §3.2).
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) error {
	// 1 and 2. Parse, and authenticate the client.
	p, app, err := s.readClient(w, r)
	if err != nil {
		return err
	}
	event := reqctx.From(r.Context())

	// 3. Find the grant type.
	kind := p.get("grant_type")
	if kind == "" {
		return refuse(invalidRequest, "grant_type is missing.")
	}
	grants, ok := s.grants[kind]
	if !ok {
		return refuse(unsupportedGrantType, "This grant_type is not supported.")
	}
	event.SetInteraction(kind)

	// 4. Check what the app presents and use it up. From here on the app going
	// away changes nothing, otherwise what is used up would be lost halfway.
	ctx := context.WithoutCancel(r.Context())
	got, err := grants.redeem(ctx, app, p)
	if err != nil {
		return err
	}
	event.SetSource(got.grant.Source)

	// 5. Record, before there is anything to use.
	if err := s.record(ctx, got.event, got.grant); err != nil {
		return s.abandon(ctx, got.grant, unavailable(err, "record an exchange"))
	}

	// 6. Mint.
	got.idTokenAlg, got.accessTTL = app.IDTokenAlg, s.lifetimesOf(app).access
	mint := s.mint
	if got.grant.Service() {
		mint = s.mintService
	}
	response, err := mint(ctx, got)
	if err != nil {
		return s.abandon(ctx, got.grant, err)
	}

	// 7. Respond.
	writeJSON(w, http.StatusOK, response)
	return nil
}

// readClient takes the form post of a client that authenticates in it.
func (s *Server) readClient(w http.ResponseWriter, r *http.Request) (params, client.Client, error) {
	p, err := readToken(w, r)
	if err != nil {
		return params{}, client.Client{}, err
	}
	app, err := s.authenticateClient(r, p)
	if err != nil {
		return params{}, client.Client{}, err
	}
	reqctx.From(r.Context()).SetClient(app.ID)
	return p, app, nil
}

// readToken takes a form post without anything in the URL: credentials and
// codes there would end in logs (RFC 6749 §2.3.1, §3.2).
func readToken(w http.ResponseWriter, r *http.Request) (params, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST, OPTIONS")
		return params{}, &Error{Code: invalidRequest, Description: "This endpoint takes POST.", Status: http.StatusMethodNotAllowed}
	}
	if r.URL.RawQuery != "" {
		return params{}, refuse(invalidRequest, "Parameters belong in the body.")
	}
	body, err := readForm(w, r)
	switch {
	case errors.Is(err, errNotForm):
		return params{}, refuse(invalidRequest, "The body must be application/x-www-form-urlencoded.")
	case fault.KindOf(err) == fault.TooLarge:
		return params{}, &Error{Code: invalidRequest, Description: "The body is too large.", Status: http.StatusRequestEntityTooLarge, Err: err}
	case err != nil:
		return params{}, &Error{Code: invalidRequest, Description: "The body could not be read.", Status: http.StatusBadRequest, Err: err}
	}
	p, err := parseParams(body)
	if err != nil {
		return params{}, refuse(invalidRequest, "The body is not application/x-www-form-urlencoded.")
	}
	if len(p.twice) > 0 {
		return params{}, refuse(invalidRequest, "A parameter stands more than once.") // RFC 6749 §3.2
	}
	return p, nil
}

// mint makes the access token and, when openid was granted, the id_token.
func (s *Server) mint(ctx context.Context, got redeemed) (tokenResponse, error) {
	now := s.o.Now()
	g := got.grant
	scopes, err := scope.Parse(got.scopes)
	if err != nil {
		return tokenResponse{}, err
	}
	ends := now.Add(got.accessTTL)
	if g.Expires.Before(ends) {
		ends = g.Expires
	}
	secret, digest := token.NewSecret(s.o.Rand)
	response := tokenResponse{
		AccessToken: secret, TokenType: "Bearer", ExpiresIn: int64(ends.Sub(now) / time.Second), Scope: got.scopes,
	}
	if givesPatient(g, scopes) {
		response.Patient = g.Patient
	}
	if response.contextMembers, err = s.contextOf(g); err != nil {
		return tokenResponse{}, err
	}
	if scopes.Has(scope.OpenID) {
		response.IDToken, err = s.o.Signer.SignIDToken(ctx, s.idToken(got, scopes, secret, now, ends), got.idTokenAlg)
		if err != nil {
			return tokenResponse{}, unavailable(err, "sign an id_token")
		}
	}
	err = s.o.Tokens.CreateAccess(ctx, g.ID, token.Access{Digest: digest, Scopes: got.scopes, Issued: now, Expires: ends})
	if errors.Is(err, token.ErrNotFound) {
		// Revoked since it was redeemed: by the person, or by a replay of the
		// same code that came at the same moment.
		return tokenResponse{}, refuse(invalidGrant, "The grant was revoked.")
	}
	if err != nil {
		return tokenResponse{}, unavailable(err, "keep an access token")
	}
	response.RefreshToken, err = s.mintRefresh(ctx, g, now)
	if err != nil {
		return tokenResponse{}, err
	}
	return response, nil
}

// idToken gives the claims (OpenID Connect Core 1.0 §2, §3.1.3.6; SMART App
// Launch 2.2, "Scopes for requesting identity data").
func (s *Server) idToken(got redeemed, scopes scope.Set, access string, now, ends time.Time) token.IDToken {
	g := got.grant
	claims := token.IDToken{
		Issuer: s.o.Issuer, Subject: subject(g.PersonIssuer, g.PersonSubject), Audience: g.Client,
		Issued: now.Unix(), Expires: ends.Unix(), Nonce: got.nonce, AccessTokenHash: token.AccessTokenHash(access),
	}
	if !g.AuthTime.IsZero() {
		claims.AuthTime = g.AuthTime.Unix()
	}
	if src, ok := s.source(g.Source); ok && g.FHIRUser != "" {
		user := src.Base + "/" + g.FHIRUser
		if scopes.Has(scope.FHIRUser) {
			claims.FHIRUser = user
		}
		if scopes.Has(scope.Profile) {
			claims.Profile = user
		}
	}
	return claims
}

// subject names a person across identity providers: two of them may use the
// same sub for different people. It is the same for every app and for good.
func subject(issuer, sub string) string {
	return keyed("portico subject 1", issuer, sub)
}

// abandon revokes a grant whose code is used up but that gave no token: nobody
// could ever use it.
func (s *Server) abandon(ctx context.Context, g token.Grant, cause error) error {
	if err := s.o.Tokens.RevokeGrant(ctx, g.ID, s.o.Now()); err != nil {
		return errors.Join(cause, unavailable(err, "revoke a grant"))
	}
	return cause
}

func (s *Server) record(ctx context.Context, what string, g token.Grant) error {
	return s.o.Recorder.Record(ctx, Event{
		What: what, Client: g.Client, Source: g.Source, Patient: g.Patient, Grant: g.ID, Scopes: g.Scopes,
		Person: Person{Issuer: g.PersonIssuer, Subject: g.PersonSubject, AuthTime: g.AuthTime},
	})
}
