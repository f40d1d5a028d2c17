package authz

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/rate"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// The lifetimes that are no option.
const (
	// codeTTL is well under the ten minutes of RFC 6749 §4.1.2: apps exchange
	// at once.
	codeTTL = time.Minute
	// pendingTTL is how long a person may take on the pages.
	pendingTTL = 30 * time.Minute
)

// The bounds of Options.AccessTTL. A token that lives longer would outlive what
// certification allows between a refusal and its effect.
const (
	minAccessTTL = 5 * time.Minute
	maxAccessTTL = time.Hour
)

// The paths of the server, below its issuer.
const (
	pathAuthorize     = "/oauth/authorize"
	pathToken         = "/oauth/token" //nolint:gosec // a path, not a credential
	pathContinue      = "/oauth/continue"
	pathPatient       = "/oauth/patient"
	pathConsent       = "/oauth/consent"
	pathJWKS          = "/oauth/jwks"
	pathLaunch        = "/ehr/launch"
	pathIntrospect    = "/oauth/introspect"
	pathRevoke        = "/oauth/revoke"
	pathOpenIDConfig  = "/.well-known/openid-configuration"
	paramRequest      = "request" // names the pending request in the pages' URLs
	paramAfterSignIn  = "after"
	valueAfterSignIn  = "sign-in"
	valueGaveUp       = "gave-up"
	paramSomebodyElse = "as"
	valueSomebodyElse = "somebody-else"
	maxParametersSize = 64 << 10
)

// Options say what the authorization server needs.
type Options struct {
	// Issuer is the public base URL without trailing slash; iss, exactly so.
	Issuer  string
	Sources []Source
	Clients client.Registry
	// Apps and Refusals answer developers; without them nobody does.
	Apps     AppFinder
	Refusals RefusalStore
	// Addr gives the address of a request, for limits alone; nil: the peer's.
	Addr func(*http.Request) string
	// RegistrationEndpoint is where apps register themselves, "" when they may not.
	RegistrationEndpoint string
	Tokens               token.Store
	Signer               *token.Signer
	Pending              PendingStore
	Refresh              token.RefreshStore
	Connections          token.Connections // what people may look at and stop
	ConnectedPage        ConnectedPage
	Sessions             Sessions              // for refresh tokens that end with the sign-in
	Singles              token.AccessStore     // access tokens that nobody gave a code for
	Keys                 client.KeySource      // of clients that authenticate with private_key_jwt
	Used                 client.AssertionStore // of their assertions
	SignIn               SignIn
	Patients             Patients
	Pages                Pages
	Recorder             Recorder
	Launches             launch.Store // nil: no EHR launches apps
	Pushed               PushedStore
	Answered             AnsweredStore

	// KnownType tells whether a resource type exists; nil: any that looks like
	// one. Scopes for others are not granted.
	KnownType func(string) bool
	// Access are the letters that may be granted at all; 0: reading and
	// searching. More would promise what the record does not accept.
	Access scope.Access

	// Kinds divide records for people and for granular scopes; none: people
	// choose among what is asked for, and no granular scope is granted.
	Kinds []Kind
	// Counts counts for the consent page, nil: nothing is counted.
	Counts Counter
	// Decisions remembers what people said, nil: they are asked each time.
	Decisions DecisionStore

	AccessTTL time.Duration // 5 to 60 minutes; 0: 60
	// GrantTTL is the longest a person's yes lasts; 0: until they end it. A grant without refresh token ends with its access token.
	GrantTTL time.Duration
	// RefreshTTL is how long a refresh token lasts from its issue, if its grant
	// does; three months or more; 0: three months.
	RefreshTTL time.Duration
	// SessionTTL is how long a sign-in lasts at most, and with it online
	// access; 0: 8 hours.
	SessionTTL time.Duration

	Now  func() time.Time // time.Now when nil
	Rand io.Reader        // crypto/rand when nil
}

// Server is the authorization server.
type Server struct {
	o      Options
	base   string // path of the issuer, "" or "/x": in front of every local path
	secure bool   // the issuer is https
	grants map[string]grantHandler

	assertions *client.Assertions
	sameOrigin *http.CrossOriginProtection

	noted  *rate.Limiter // refusals kept, by client
	checks *rate.Limiter // questions of developers, by address
	begun  *rate.Limiter // authorization requests that are kept, by address
}

// New refuses options that cannot be meant.
func New(o Options) (*Server, error) {
	issuer, err := checkOptions(&o)
	if err != nil {
		return nil, err
	}
	s := &Server{
		o: o, base: issuer.Path, secure: issuer.Scheme == "https",
		noted: rate.New(maxNoted, time.Minute), checks: rate.New(maxChecks, time.Minute),
		begun: rate.New(maxBegun, time.Minute),
	}
	s.sameOrigin = http.NewCrossOriginProtection()
	if err := s.sameOrigin.AddTrustedOrigin(issuer.Scheme + "://" + issuer.Host); err != nil {
		return nil, fmt.Errorf("authz: Issuer: %w", err)
	}
	s.assertions, err = client.NewAssertions(client.AssertionOptions{Keys: o.Keys, Used: o.Used, Audiences: s.audiences(), Now: o.Now})
	if err != nil {
		return nil, err
	}
	s.grants = map[string]grantHandler{
		grantAuthorizationCode: &codeGrant{s: s},
		grantRefreshToken:      &refreshGrant{s: s},
		grantClientCredentials: &serviceGrant{s: s},
	}
	return s, nil
}

func checkOptions(o *Options) (*url.URL, error) {
	for name, missing := range map[string]bool{
		"Clients": o.Clients == nil, "Tokens": o.Tokens == nil, "Signer": o.Signer == nil, "Pushed": o.Pushed == nil, "Answered": o.Answered == nil, "Pending": o.Pending == nil,
		"Refresh": o.Refresh == nil, "Singles": o.Singles == nil, "Sessions": o.Sessions == nil, "Keys": o.Keys == nil, "Used": o.Used == nil,
		"SignIn": o.SignIn == nil, "Patients": o.Patients == nil, "Pages": o.Pages == nil, "Recorder": o.Recorder == nil,
		"Sources": len(o.Sources) == 0,
	} {
		if missing {
			return nil, fmt.Errorf("authz: %s is needed", name)
		}
	}
	if (o.Connections == nil) != (o.ConnectedPage == nil) {
		return nil, errors.New("authz: Connections and ConnectedPage go together")
	}
	issuer, err := checkURL(o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("authz: Issuer %w", err)
	}
	for i, src := range o.Sources {
		if src.ID == "" || src.Name == "" {
			return nil, errors.New("authz: each source needs an ID and a Name")
		}
		if _, err := checkURL(src.Base); err != nil {
			return nil, fmt.Errorf("authz: the Base of source %q %w", src.ID, err)
		}
		if err := checkStyleDocument(src.Style); err != nil {
			return nil, fmt.Errorf("authz: the Style of source %q %w", src.ID, err)
		}
		if slices.ContainsFunc(o.Sources[:i], func(b Source) bool { return b.ID == src.ID || b.Base == src.Base }) {
			return nil, fmt.Errorf("authz: there are two sources with the ID or the Base of %q", src.ID)
		}
	}
	if err := checkKinds(o.Kinds); err != nil {
		return nil, err
	}
	if o.AccessTTL == 0 {
		o.AccessTTL = maxAccessTTL
	}
	if o.AccessTTL < minAccessTTL || o.AccessTTL > maxAccessTTL {
		return nil, fmt.Errorf("authz: AccessTTL must be between %s and %s", minAccessTTL, maxAccessTTL)
	}
	if err := checkLifetimes(o); err != nil {
		return nil, err
	}
	if o.Access == 0 {
		o.Access = scope.ReadSearch
	}
	if o.KnownType == nil {
		o.KnownType = func(string) bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	o.Sources = slices.Clone(o.Sources)
	return issuer, nil
}

// checkURL takes what may be an issuer (RFC 8414 §2) and what clients compare
// byte by byte.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, errors.New("must be an absolute http or https URL")
	}
	if u.User != nil || strings.ContainsAny(text, "?#") || strings.HasSuffix(text, "/") || u.String() != text {
		return nil, errors.New("must be plain: no user, query, fragment or trailing slash")
	}
	return u, nil
}

// Mount adds every endpoint but smart-configuration, which lives below a FHIR
// base. Browser endpoints answer errors with a page, the others with JSON.
func (s *Server) Mount(r *mux.Router) {
	page := func(path string, f handler.Func, methods ...string) {
		r.Handle(path, handler.Adapt(f, s.writeProblem)).Methods(methods...)
	}
	page(pathAuthorize, s.serveAuthorize, http.MethodGet, http.MethodPost)
	page(pathContinue, s.serveContinue, http.MethodGet)
	page(pathPatient, s.showPatients, http.MethodGet)
	page(pathPatient, s.takePatient, http.MethodPost)
	page(pathConsent, s.showConsent, http.MethodGet)
	page(pathConsent, s.takeConsent, http.MethodPost)
	if s.o.Connections != nil {
		page(pathConnected, s.showConnected, http.MethodGet)
		page(pathStop, s.takeStop, http.MethodPost)
	}

	r.Handle(pathToken, crossOrigin(http.MethodPost, handler.Adapt(s.noting("token", s.serveToken), writeError)))
	r.Handle(pathPAR, crossOrigin(http.MethodPost, handler.Adapt(s.noting("par", s.servePAR), writeError)))
	r.Handle(pathLaunch, handler.Adapt(s.serveLaunch, writeError))
	r.Handle(pathStyle+"{name}", crossOrigin(http.MethodGet, handler.Adapt(s.serveStyle, writeError)))
	r.Handle(pathIntrospect, crossOrigin(http.MethodPost, handler.Adapt(s.noting("introspect", s.serveIntrospect), writeError)))
	r.Handle(pathRevoke, crossOrigin(http.MethodPost, handler.Adapt(s.noting("revoke", s.serveRevoke), writeError)))
	s.mountDeveloper(func(path string, f handler.Func) { r.Handle(path, handler.Adapt(f, writeError)) })
	r.Handle(pathJWKS, crossOrigin(http.MethodGet, handler.Adapt(s.serveJWKS, writeError)))
	r.Handle(pathOpenIDConfig, crossOrigin(http.MethodGet, handler.Adapt(s.serveOpenIDConfiguration, writeError)))
}

// source finds a source by id.
func (s *Server) source(id string) (Source, bool) {
	i := slices.IndexFunc(s.o.Sources, func(src Source) bool { return src.ID == id })
	if i < 0 {
		return Source{}, false
	}
	return s.o.Sources[i], true
}

// local gives a path of this server for a pending request, for redirects and
// forms.
func (s *Server) local(path, request string) string {
	return s.base + path + "?" + url.Values{paramRequest: {request}}.Encode()
}
