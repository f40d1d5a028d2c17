package authz

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/apps"
	"github.com/portico-fhir/portico/smart/client"
)

// The endpoints for the makers of apps.
const (
	pathRefusals       = "/oauth/developer/refusals"
	pathCheckAssertion = "/oauth/developer/check-assertion"
)

// maxChecks is how many assertions one address may have checked in a minute.
const maxChecks = 30

// mountDeveloper adds the endpoints for the makers of apps.
func (s *Server) mountDeveloper(handle func(path string, f handler.Func)) {
	if s.o.Apps == nil {
		return
	}
	handle(pathCheckAssertion, s.serveCheckAssertion)
	if s.o.Refusals != nil {
		handle(pathRefusals, s.serveRefusals)
	}
}

// checked is the answer about an assertion.
type checked struct {
	OK       bool   `json:"ok"`
	ClientID string `json:"client_id,omitempty"` // iss of the assertion
	State    string `json:"registration_state,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Audience string `json:"audience"` // what aud should be
}

// unused is an AssertionStore that forgets: to check changes nothing.
type unused struct{}

func (unused) UseAssertion(context.Context, string, string, time.Time) error { return nil }

// serveCheckAssertion tells what is wrong with a client assertion, as the token
// endpoint would see it. It has no effect: the jti stays unused. It needs no
// authentication, since an assertion that can be checked is one, and says
// nothing of secrets.
func (s *Server) serveCheckAssertion(w http.ResponseWriter, r *http.Request) error {
	p, err := readToken(w, r)
	if err != nil {
		return err
	}
	if wait, ok := s.checks.Allow(s.addr(r), s.o.Now()); !ok {
		handler.SetRetryAfter(w.Header(), wait)
		return &Error{Code: temporarilyUnavailable, Description: "Too many checks from this address. Try again in a minute.", Status: http.StatusTooManyRequests}
	}
	out := checked{Audience: s.url(pathToken)}
	a, err := client.ReadAssertion(p.get("client_assertion"))
	switch {
	case p.get("client_assertion") == "":
		return refuse(invalidRequest, "client_assertion is missing.")
	case p.get("client_assertion_type") != "" && p.get("client_assertion_type") != client.AssertionType:
		out.Problem = "client_assertion_type must be " + client.AssertionType
	case err != nil:
		out.Problem = assertionReason(err)
	default:
		if err := s.checkAssertion(r.Context(), a, &out); err != nil {
			return err
		}
	}
	out.OK = out.Problem == ""
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) checkAssertion(ctx context.Context, a client.Assertion, out *checked) error {
	app, err := s.o.Apps.App(ctx, a.Issuer())
	switch {
	case errors.Is(err, client.ErrUnknown):
		out.Problem = "no app has the client_id that iss and sub say"
		return nil
	case err != nil:
		return unavailable(err, "look up a client")
	}
	out.ClientID = app.ID
	checker, err := client.NewAssertions(client.AssertionOptions{Keys: s.o.Keys, Used: unused{}, Audiences: s.audiences(), Now: s.o.Now})
	if err != nil {
		return err
	}
	switch err := checker.Check(ctx, app.Client, a); {
	case errors.Is(err, client.ErrAssertion):
		out.Problem = assertionReason(err)
	case err != nil:
		return unavailable(err, "check a client assertion")
	default:
		// Only whoever has the key learns what was decided about the app.
		out.State = string(app.State)
		if app.State != client.Approved {
			out.Problem = "the assertion is good, but " + notUsable(app)
		}
	}
	return nil
}

// told is one refusal as its developer sees it.
type told struct {
	Reference string `json:"reference"`
	At        string `json:"at"`
	Endpoint  string `json:"endpoint"`
	Error     string `json:"error"`
	Reason    string `json:"reason"`
}

// serveRefusals tells an app why it was refused within the last day. A client
// authenticates as at the token endpoint, in whatever state it is, or with its
// registration access token. A public client cannot, so it must know the
// reference, which only whoever was refused was told.
func (s *Server) serveRefusals(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodGet {
		// error_uri leads here; a browser has nothing to authenticate with.
		writeJSON(w, http.StatusOK, map[string]string{"what": "To learn why your app was refused, POST its client authentication, " +
			"and the reference if you want one refusal only, to this URL. A public client sends client_id and reference."})
		return nil
	}
	p, err := readToken(w, r)
	if err != nil {
		return err
	}
	if _, ok := s.checks.Allow(s.addr(r), s.o.Now()); !ok {
		return &Error{Code: temporarilyUnavailable, Description: "Too many questions from this address. Try again in a minute.", Status: http.StatusTooManyRequests}
	}
	app, proven, err := s.asker(r, p)
	if err != nil {
		return err
	}
	reference := p.get("reference")
	if !proven && reference == "" {
		return refuse(invalidRequest, "A public client must give the reference.")
	}
	reqctx.From(r.Context()).SetClient(app)
	list, err := s.o.Refusals.Refusals(r.Context(), app, s.o.Now())
	if err != nil {
		return unavailable(err, "look up refusals")
	}
	out := []told{}
	for _, x := range list {
		if reference == "" || x.Reference == reference {
			out = append(out, told{Reference: x.Reference, At: x.At.UTC().Format(time.RFC3339), Endpoint: x.Place, Error: x.Code, Reason: x.Reason})
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"refusals": out})
	return nil
}

// asker finds which client asks, and whether it has proven so.
func (s *Server) asker(r *http.Request, p params) (string, bool, error) {
	if bearer, ok := handler.Bearer(r); ok {
		a, err := s.o.Apps.App(r.Context(), p.get("client_id"))
		if err != nil && !errors.Is(err, client.ErrUnknown) {
			return "", false, unavailable(err, "look up a client")
		}
		if err != nil || !apps.Manages(a, bearer) {
			return "", false, &Error{Code: invalidClient, Description: "The registration access token is not this app's.", Status: http.StatusUnauthorized}
		}
		return a.ID, true, nil
	}
	// An app that may not be used may still learn why.
	own := *s
	own.o.Clients = anyState{s.o.Apps}
	app, err := own.authenticateClient(r, p)
	if err != nil {
		return "", false, err
	}
	return app.ID, app.Confidential(), nil
}

// anyState is a registry that gives apps in whatever state.
type anyState struct{ apps AppFinder }

// Client implements client.Registry.
func (a anyState) Client(ctx context.Context, id string) (client.Client, error) {
	app, err := a.apps.App(ctx, id)
	return app.Client, err
}

func (s *Server) addr(r *http.Request) string {
	if s.o.Addr == nil {
		return r.RemoteAddr
	}
	return s.o.Addr(r)
}
