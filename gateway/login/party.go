package login

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/smart/authz"
)

// RelyingParty signs people in. It may be used by many goroutines.
type RelyingParty struct {
	o         Options
	providers []*provider
	flights   *seal.Sealer
	idTokens  *seal.Sealer // of sessions, bound to their digest
	csrf      *http.CrossOriginProtection
}

var _ authz.SignIn = (*RelyingParty)(nil)

// New makes a relying party. It does not talk to the providers yet: one that is
// down must not keep this server from starting.
func New(o Options) (*RelyingParty, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	flights, err := o.Seal.For("login sign-in cookie")
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	idTokens, err := o.Seal.For("login id_token")
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	p := &RelyingParty{o: o, flights: flights, idTokens: idTokens, csrf: http.NewCrossOriginProtection()}
	public, err := url.Parse(o.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	if err := p.csrf.AddTrustedOrigin(public.Scheme + "://" + public.Host); err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	for _, configured := range o.Providers {
		p.providers = append(p.providers, newProvider(configured, o.PublicURL+"/login/callback", o.Now))
	}
	return p, nil
}

// Mount puts the relying party's routes on r.
func (p *RelyingParty) Mount(r *mux.Router) {
	r.Handle("/login/start", handler.Adapt(p.serveStart, p.writeFailure)).Methods(http.MethodGet)
	r.Handle("/login/callback", handler.Adapt(p.serveCallback, p.writeFailure)).Methods(http.MethodGet)
	r.Handle("/login/back-channel-logout", handler.Adapt(p.serveBackChannel, writeLogoutError)).Methods(http.MethodPost)
	r.Handle(logoutPath, handler.Adapt(p.serveLogout, p.writeFailure)).Methods(http.MethodPost)
	r.Handle(logoutPath, handler.Adapt(p.showLogout, p.writeFailure)).Methods(http.MethodGet, http.MethodHead)
}

// Issuers gives the issuer of each provider, by its id.
func (p *RelyingParty) Issuers() map[string]string {
	out := map[string]string{}
	for _, at := range p.providers {
		out[at.ID] = at.Issuer
	}
	return out
}

// Check asks the provider with this id for its discovery document, whatever is
// known of it, and says why people cannot sign in there. The error is for the
// operator alone.
func (p *RelyingParty) Check(ctx context.Context, id string) error {
	for _, at := range p.providers {
		if at.ID == id {
			if err := at.there(ctx); err != nil {
				return err
			}
			_, err := at.discover(ctx)
			return err
		}
	}
	return errors.New("login: there is no such provider")
}

// serving gives the provider of source: the one with this id, or with id "" the
// first that is configured for it.
func (p *RelyingParty) serving(source, id string) (*provider, bool) {
	for _, candidate := range p.providers {
		if slices.Contains(candidate.Sources, source) && (id == "" || candidate.ID == id) {
			return candidate, true
		}
	}
	return nil, false
}

// allServing gives every provider of a source.
func (p *RelyingParty) allServing(source string) []*provider {
	var out []*provider
	for _, candidate := range p.providers {
		if slices.Contains(candidate.Sources, source) {
			out = append(out, candidate)
		}
	}
	return out
}

// secret gives 256 random bits as text.
func (p *RelyingParty) secret() (string, error) {
	var raw [32]byte
	if _, err := io.ReadFull(p.o.Rand, raw[:]); err != nil {
		return "", fault.Wrap(err, fault.Internal, "Something went wrong on this server.")
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// problem is an error that knows how to tell a person of it.
type problem struct {
	title string
	retry string
	leave string
	other bool
	err   error // a fault
}

func (e *problem) Error() string { return e.err.Error() }
func (e *problem) Unwrap() error { return e.err }

// fail makes a problem: kind and detail for the person, cause for the log.
func fail(kind fault.Kind, title, detail string, cause error) *problem {
	return &problem{title: title, err: &fault.Error{Kind: kind, Public: detail, Err: cause}}
}

// again says where the person can start anew.
func (e *problem) again(q SignInRequest) *problem {
	e.retry, e.leave = q.path(), q.Leave
	return e
}

// writeFailure is the one place where an error becomes a page.
func (p *RelyingParty) writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	f := Failure{Status: handler.Status(err), Title: "Something went wrong", Detail: fault.PublicOf(err)}
	var known *problem
	if errors.As(err, &known) {
		f.Title, f.Retry, f.Leave, f.SomebodyElse = known.title, known.retry, known.leave, known.other
	}
	if f.Detail == "" || (fault.KindOf(err) == fault.Internal && known == nil) {
		f.Detail = "The sign-in could not be completed because of an error on this server."
	}
	noStore(w)
	if drawn := p.o.Problem.SignInProblem(w, r, f); drawn != nil {
		reqctx.From(r.Context()).Fail(drawn)
		handler.Plain(w, r, err)
	}
}

func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	// The callback's URL holds code and state; no page after it may learn them.
	w.Header().Set("Referrer-Policy", "no-referrer")
}
