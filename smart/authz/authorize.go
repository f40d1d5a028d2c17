package authz

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// serveAuthorize is the authorization endpoint, GET and POST (RFC 6749 §3.1,
// SMART App Launch 2.2, "authorize-post"). It asks nobody anything: it checks
// the request, keeps it and sends the browser to the dispatcher.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) error {
	// 1. Parse.
	p, err := readAuthorize(w, r)
	if err != nil {
		return err
	}

	if p, err = s.pulled(r.Context(), p); err != nil {
		return err
	}

	// 2. Who asks, and where may the answer go? Until both are proven good, an
	// error is a page (RFC 6749 §4.1.2.1): anything else is an open redirector.
	app, err := s.askingClient(r, p)
	if err != nil {
		s.noteProblem(r, p, err)
		return err
	}
	to := answer{redirectURI: p.get("redirect_uri"), state: p.get("state")}
	if p.repeated("state") {
		to.state = "" // there is no telling which one is meant
	}

	// 3. Everything else is the app's to know.
	pending, err := s.checkRequest(r, p, app)
	if err != nil {
		e := oauthError(err)
		return s.answerError(w, r, to, s.note(r, "authorize", app.ID, e, e.Description))
	}

	// 4. Keep it, bound to this browser, and go on.
	secret := s.bindBrowser(w, r)
	pending.Browser = browserDigest(secret)
	if err := s.o.Pending.CreatePending(r.Context(), pending); err != nil {
		return s.answerError(w, r, to, unavailable(err, "keep an authorization request"))
	}
	seeOther(w, s.local(pathContinue, pending.ID))
	return nil
}

func readAuthorize(w http.ResponseWriter, r *http.Request) (params, error) {
	texts := []string{r.URL.RawQuery}
	if r.Method == http.MethodPost {
		body, err := readForm(w, r)
		if err != nil {
			return params{}, unreadable(err)
		}
		texts = append(texts, body)
	}
	p, err := parseParams(texts...)
	if err != nil {
		return params{}, unreadable(err)
	}
	return p, nil
}

// askingClient proves client_id and redirect_uri.
func (s *Server) askingClient(r *http.Request, p params) (client.Client, error) {
	if p.repeated("client_id", "redirect_uri") {
		return client.Client{}, unreadable(errors.New("client_id or redirect_uri stands more than once"))
	}
	app, err := s.o.Clients.Client(r.Context(), p.get("client_id"))
	if errors.Is(err, client.ErrPending) || errors.Is(err, client.ErrSuspended) {
		return client.Client{}, notInUse(err)
	}
	if errors.Is(err, client.ErrUnknown) {
		return client.Client{}, &problem{kind: fault.Invalid, title: "This app is not known here",
			detail: "The app that sent you here is not registered. Nothing was shared with it."}
	}
	if err != nil {
		return client.Client{}, unavailable(err, "look up a client")
	}
	reqctx.From(r.Context()).SetClient(app.ID)
	// It is always asked for, even of a client that has one only: the token
	// endpoint compares it (RFC 6749 §4.1.3).
	if !app.AllowsRedirect(p.get("redirect_uri")) {
		return client.Client{}, &problem{kind: fault.Invalid, title: "This app cannot be answered",
			detail: "The app asked for the answer at an address that is not registered for it. Nothing was shared with it. Please tell the makers of the app."}
	}
	return app, nil
}

// examined is a request that is good as far as that can be said without a
// browser.
type examined struct {
	source Source
	scopes scope.Set
	demand SignInDemand
	none   bool // prompt=none
}

// examine checks everything but what depends on the browser and on launches.
func (s *Server) examine(p params, app client.Client) (examined, error) {
	if err := checkShape(p); err != nil {
		return examined{}, err
	}
	source, err := s.audience(p.get("aud"), app)
	if err != nil {
		return examined{}, err
	}
	if err := checkChallenge(p); err != nil {
		return examined{}, err
	}
	// A nonce travels in JSON, which has no bytes that are not characters.
	if n := p.get("nonce"); !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl) {
		return examined{}, refuse(invalidRequest, "nonce must be text.")
	}
	scopes, err := s.grantable(p.get("scope"), app, source)
	if err != nil {
		return examined{}, err
	}
	demand, none, err := readDemand(p)
	if err != nil {
		return examined{}, err
	}
	return examined{source: source, scopes: scopes, demand: demand, none: none}, nil
}

// checkRequest checks what is left and gives the request to keep. What can be
// used once is used up last, when nothing else is wrong.
func (s *Server) checkRequest(r *http.Request, p params, app client.Client) (Pending, error) {
	asked, err := s.examine(p, app)
	if asked.source.ID != "" {
		reqctx.From(r.Context()).SetSource(asked.source.ID)
	}
	if err != nil {
		return Pending{}, err
	}
	if asked.none {
		return Pending{}, s.promptNone(r, asked.source)
	}
	if err := s.mayBegin(r); err != nil {
		return Pending{}, err
	}
	launched, err := s.takeLaunch(r.Context(), p, asked.scopes, asked.source, app)
	if err != nil {
		return Pending{}, err
	}
	scopes := launchScopes(asked.scopes, launched)
	if onlyLifetime(scopes) {
		return Pending{}, refuse(invalidScope, "None of the scopes can be granted.")
	}
	patient := ""
	if launched != nil {
		patient = launched.Patient
	}
	now := s.o.Now()
	id, _ := token.NewSecret(s.o.Rand)
	return Pending{
		ID: id, Client: app.ID, Source: asked.source.ID, RedirectURI: p.get("redirect_uri"), State: p.get("state"),
		Scopes: scopes.String(), Challenge: p.get("code_challenge"), Nonce: p.get("nonce"),
		SignedInAfter: asked.demand.signedInAfter(now), SignIn: asked.demand, Launch: launched, Patient: patient, Created: now, Expires: now.Add(pendingTTL),
	}, nil
}

// checkShape refuses what this server does not do, rather than to do something
// else than the app asked for.
func checkShape(p params) error {
	if len(p.twice) > 0 {
		// RFC 6749 §3.1: parameters MUST NOT be included more than once.
		return refuse(invalidRequest, "A parameter stands more than once.")
	}
	switch {
	case p.get("request") != "":
		return refuse(requestNotSupported, "Request objects are not supported.")
	case p.get("request_uri") != "":
		return refuse(requestURINotSupported, "request_uri is not supported.")
	case p.get("registration") != "":
		return refuse(registrationUnsupported, "registration is not supported.")
	case p.get("response_type") == "":
		return refuse(invalidRequest, "response_type is missing.")
	case p.get("response_type") != "code":
		return refuse(unsupportedResponseType, "response_type must be code.")
	case p.get("response_mode") != "" && p.get("response_mode") != "query":
		return refuse(invalidRequest, "response_mode must be query.")
	}
	return checkSizes(p)
}

// What is kept of a request of which nobody knows yet who is behind it: more
// than any app sends.
const (
	maxState = 4 << 10
	maxNonce = 1 << 10
	maxScope = 8 << 10
)

// maxBegun is how many requests of one address are kept in a minute: enough for
// a hospital behind one, too few to fill the disk.
const maxBegun = 600

func (s *Server) mayBegin(r *http.Request) error {
	if _, ok := s.begun.Allow(s.addr(r), s.o.Now()); !ok {
		return &Error{Code: temporarilyUnavailable, Description: "Too many requests from this address. Try again in a minute.", Status: http.StatusTooManyRequests}
	}
	return nil
}

func checkSizes(p params) error {
	for _, c := range []struct {
		name string
		most int
	}{{"state", maxState}, {"nonce", maxNonce}, {"scope", maxScope}} {
		if len(p.get(c.name)) > c.most {
			return refuse(invalidRequest, "%s must not be longer than %d bytes.", c.name, c.most)
		}
	}
	return nil
}

// audience finds the FHIR base that the app means, with or without trailing
// slash. A wrong one means that the app was lured to send tokens elsewhere
// (SMART App Launch 2.2, "Obtain authorization code", aud).
func (s *Server) audience(aud string, app client.Client) (Source, error) {
	if aud == "" {
		return Source{}, refuse(invalidRequest, "aud is missing.")
	}
	i := slices.IndexFunc(s.o.Sources, func(src Source) bool { return aud == src.Base || aud == src.Base+"/" })
	if i < 0 {
		return Source{}, refuse(invalidRequest, "aud is not a FHIR base of this server.")
	}
	if !app.AllowsSource(s.o.Sources[i].ID) {
		return Source{}, refuse(unauthorizedClient, "The app is not registered for this FHIR base.")
	}
	return s.o.Sources[i], nil
}

// challengeLength is that of a base64url-encoded SHA-256 (RFC 7636 §4.2).
const challengeLength = 43

// checkChallenge asks every client, confidential ones too, for PKCE with S256
// (SMART App Launch 2.2, "Considerations for PKCE Support"; RFC 9700 §2.1.1).
// An absent method would mean plain (RFC 7636 §4.3).
func checkChallenge(p params) error {
	challenge := p.get("code_challenge")
	switch {
	case challenge == "":
		return refuse(invalidRequest, "code_challenge is missing: PKCE is required.")
	case p.get("code_challenge_method") != "S256":
		return refuse(invalidRequest, "code_challenge_method must be S256.")
	case len(challenge) != challengeLength || !isBase64URL(challenge):
		return refuse(invalidRequest, "code_challenge is not a base64url-encoded SHA-256.")
	}
	return nil
}

func isBase64URL(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}
