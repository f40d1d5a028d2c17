package login

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// SignInRequest says how somebody is to sign in. What an app may demand of it
// (prompt, max_age, acr_values) becomes a field here.
type SignInRequest struct {
	Source   string
	Provider string // "" is the first one of the source
	ReturnTo string // path on this server, where the browser goes afterwards
}

// Start implements authz.SignIn. When the provider cannot be reached the person
// gets a page that says so; that is an answer too, not an error.
func (p *RelyingParty) Start(w http.ResponseWriter, r *http.Request, source, returnTo string) error {
	return p.StartWith(w, r, SignInRequest{Source: source, ReturnTo: returnTo})
}

// StartWith is Start with every choice.
func (p *RelyingParty) StartWith(w http.ResponseWriter, r *http.Request, q SignInRequest) error {
	err := p.begin(w, r, q)
	if fault.KindOf(err) == fault.Unavailable {
		reqctx.From(r.Context()).Fail(err)
		p.writeFailure(w, r, err)
		return nil
	}
	return err
}

// serveStart is GET /login/start: where a "try again" link leads.
func (p *RelyingParty) serveStart(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	return p.begin(w, r, SignInRequest{
		Source: query.Get("source"), Provider: query.Get("provider"), ReturnTo: query.Get("return_to"),
	})
}

// begin sends the browser to the provider (OpenID Connect Core 3.1.2.1) with a
// state, a nonce and a PKCE challenge that are good for this sign-in alone.
func (p *RelyingParty) begin(w http.ResponseWriter, r *http.Request, q SignInRequest) error {
	if !localPath(q.ReturnTo) {
		return fail(fault.Invalid, "This link cannot be used", "The link does not lead back to a page of this site.",
			errors.New("return_to is no local path"))
	}
	at, found := p.serving(q.Source, q.Provider)
	if !found {
		return fail(fault.NotFound, "This link cannot be used", "There is no such place to sign in.",
			errors.New("no provider for the source"))
	}
	q.Provider = at.ID
	ready, err := at.discover(r.Context())
	if err != nil {
		return p.down(at, q, err)
	}
	f := flight{
		Source: q.Source, Provider: at.ID, ReturnTo: q.ReturnTo,
		Expires: p.o.Now().Add(flightTime),
	}
	for _, value := range []*string{&f.State, &f.Nonce, &f.Verifier} {
		if *value, err = p.secret(); err != nil {
			return err
		}
	}
	p.pruneFlights(w, r)
	if err := p.keepFlight(w, f); err != nil {
		return err
	}
	noStore(w)
	http.Redirect(w, r, ready.oauth.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), http.StatusSeeOther)
	return nil
}

func (p *RelyingParty) down(at *provider, q SignInRequest, cause error) error {
	name := at.Name
	if name == "" {
		name = "The sign-in service"
	}
	return fail(fault.Unavailable, "Signing in is not possible right now",
		name+" does not answer. Nothing is wrong with your account. Please try again in a few minutes.", cause).again(q)
}

// maxReturnTo keeps the cookie of a sign-in well under the 4 KiB of browsers.
const maxReturnTo = 1000

// localPath says whether s is a path (with or without query) on this server and
// nothing that a browser would read as another one: "//host", "/\host", or
// either of them hidden by characters that browsers drop (WHATWG URL 4.4).
func localPath(s string) bool {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || len(s) > maxReturnTo {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.Fragment == "" && !strings.HasPrefix(u.Path, "//")
}
