package authz

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// The right to ask about tokens (RFC 7662 §2.1; SMART App Launch 2.2, "Token
// Introspection"):
//
//   - a confidential client that authenticates may ask about its own tokens,
//     and about anybody's when it is registered to (Client.Introspects);
//   - a bearer token may ask about the tokens of its own grant; that of a
//     backend service, which has system scopes, of a client that is registered
//     to, about anybody's at its FHIR base.
//
// About any other token the answer is that there is none. A public client by
// itself may not ask: whoever knows its name could.

// asker is who asks.
type asker struct {
	client client.Client
	grant  string // asks with a token of this grant
	source string // and is bound to this source; "" for none
	all    bool
}

func (a asker) may(g token.Grant) bool {
	switch {
	case a.source != "" && a.source != g.Source:
		return false
	case a.all:
		return true
	case a.grant != "":
		return a.grant == g.ID
	}
	return a.client.ID != "" && a.client.ID == g.Client
}

// serveIntrospect is the introspection endpoint (RFC 7662 §2).
func (s *Server) serveIntrospect(w http.ResponseWriter, r *http.Request) error {
	p, err := readToken(w, r)
	if err != nil {
		return err
	}
	who, err := s.authenticateAsker(r, p)
	if err != nil {
		return err
	}
	reqctx.From(r.Context()).SetClient(who.client.ID)
	secret := p.get("token")
	if secret == "" {
		return refuse(invalidRequest, "token is missing.")
	}
	answer, err := s.introspect(r.Context(), who, secret)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// inactive is all that is said of a token that is not good, or not the asker's
// to know of (RFC 7662 §2.2).
func inactive() map[string]any { return map[string]any{"active": false} }

func (s *Server) authenticateAsker(r *http.Request, p params) (asker, error) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return s.askerByToken(r, p, bearer)
	}
	app, err := s.authenticateClient(r, p)
	if err != nil {
		return asker{}, err
	}
	if !app.Confidential() {
		return asker{}, &Error{Code: invalidClient, Description: "A public client may not ask about tokens by itself: send an access token of its own.", Status: http.StatusUnauthorized, bearer: true}
	}
	return asker{client: app, all: app.Introspects}, nil
}

func (s *Server) askerByToken(r *http.Request, p params, bearer string) (asker, error) {
	if len(r.Header.Values("Authorization")) > 1 || p.get("client_secret") != "" || p.get("client_assertion") != "" {
		return asker{}, refuse(invalidRequest, "The client authenticates in two ways.")
	}
	grant, _, _, err := token.Verifier{Store: s.o.Tokens, Now: s.o.Now}.Authenticate(r.Context(), bearer)
	switch {
	case fault.KindOf(err) == fault.Unauthenticated && err != nil:
		return asker{}, &Error{Code: invalidToken, Description: "The access token is missing, expired, revoked or not known here.", Status: http.StatusUnauthorized, bearer: true}
	case err != nil:
		return asker{}, err
	}
	app, err := s.o.Clients.Client(r.Context(), grant.Client)
	if errors.Is(err, client.ErrUnknown) {
		return asker{}, &Error{Code: invalidToken, Description: "The client of the access token may not be used.", Status: http.StatusUnauthorized, bearer: true}
	}
	if err != nil {
		return asker{}, unavailable(err, "look up a client")
	}
	return asker{client: app, grant: grant.ID, source: grant.Source, all: app.Introspects && grant.Service()}, nil
}

// introspect says what a token is. A token is an access token or a refresh
// token by itself: token_type_hint is of no use here.
func (s *Server) introspect(ctx context.Context, who asker, secret string) (map[string]any, error) {
	digest, now := token.DigestOf(secret), s.o.Now()
	access, grant, err := s.o.Tokens.Access(ctx, digest, now)
	if err == nil {
		return s.describe(who, grant, access)
	}
	if !errors.Is(err, token.ErrNotFound) {
		return nil, unavailable(err, "look up an access token")
	}
	refresh, grant, err := s.o.Refresh.Refresh(ctx, digest, now)
	switch {
	case errors.Is(err, token.ErrNotFound):
		return inactive(), nil
	case err != nil:
		return nil, unavailable(err, "look up a refresh token")
	}
	answer, err := s.describe(who, grant, token.Access{Scopes: grant.Scopes, Issued: refresh.Issued, Expires: earlier(refresh.Expires, grant.Expires)})
	delete(answer, "token_type") // which is for tokens that open something (RFC 6749 §7.1)
	return answer, err
}

// describe gives the members of RFC 7662 §2.2 and those of SMART App Launch 2.2,
// "Token Introspection": the launch context as it was given with the token,
// iss and sub as in the id_token, fhirUser.
func (s *Server) describe(who asker, g token.Grant, a token.Access) (map[string]any, error) {
	src, known := s.source(g.Source)
	if !known || !who.may(g) {
		return inactive(), nil
	}
	scopes, err := scope.Parse(a.Scopes)
	if err != nil {
		return nil, err
	}
	out, err := s.launchOf(g)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{
		"active": true, "scope": a.Scopes, "client_id": g.Client, "exp": a.Expires.Unix(), "iat": a.Issued.Unix(),
		"token_type": "Bearer", "aud": src.Base,
	} {
		out[name] = value
	}
	if g.Service() {
		out["iss"], out["sub"] = s.o.Issuer, g.Client
		return out, nil
	}
	if givesPatient(g, scopes) {
		out["patient"] = g.Patient
	}
	if scopes.Has(scope.OpenID) {
		out["iss"], out["sub"] = s.o.Issuer, subject(g.PersonIssuer, g.PersonSubject)
	}
	if scopes.Has(scope.FHIRUser) && g.FHIRUser != "" {
		out["fhirUser"] = src.Base + "/" + g.FHIRUser
	}
	return out, nil
}

// launchOf gives what a launch adds to each token response.
func (s *Server) launchOf(g token.Grant) (map[string]any, error) {
	m, err := s.contextOf(g)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	return out, json.Unmarshal(text, &out)
}

// givesPatient tells whether an app is told the patient: one that asked for a
// patient's data, or was launched for one, needs to know whose it got, even if
// it forgot to ask (SMART App Launch 2.2, requirement 164). One that asked who
// somebody is does not.
func givesPatient(g token.Grant, scopes scope.Set) bool {
	return scopes.Has(scope.LaunchPatient) || len(scopes.Resources) > 0 || g.Context != ""
}
