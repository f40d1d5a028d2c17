// Package apps owns how apps come, change and go while Portico runs: they
// register themselves (RFC 7591) and manage what they registered (RFC 7592), an
// operator reviews, approves, suspends and adds them. It must not know what an
// approved app may do: that is for package authz.
package apps

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/rate"
	"github.com/portico-fhir/portico/smart/client"
)

// Mode says what becomes of an app that registers itself.
type Mode string

// The modes. ApproveAll is for demonstrations: whoever comes gets in.
const (
	Closed     Mode = "closed"
	Review     Mode = "review"
	ApproveAll Mode = "approve_all"
)

// The paths, below the issuer.
const (
	pathRegister = "/oauth/register"
	pathManage   = pathRegister + "/{client}"
)

// The limits of dynamic registration. Nobody has to be known to register, so
// what one address and all of them may leave behind is bounded.
const (
	maxBody        = 128 << 10
	maxWaiting     = 500
	defaultPerHour = 20
)

// Statement is an issuer of software statements (RFC 7591 §2.3) that is believed.
type Statement struct {
	Issuer  string
	JWKSURI string
}

// URLChecker says whether a URL could be fetched; *fetch.Fetcher does.
type URLChecker interface{ Check(url string) error }

// Options say what the package needs.
type Options struct {
	Issuer string // the public base URL, without trailing slash
	Mode   Mode   // Closed when ""
	Store  client.Store
	// Configured tells whether the configuration file has a client of this id.
	Configured func(id string) bool
	// CheckScopes says what is wrong with a list of scopes.
	CheckScopes func(scopes string) error
	URLs        URLChecker
	Keys        client.KeySource // for software statements
	Statements  []Statement
	// MustState refuses apps without a software statement.
	MustState bool
	PerHour   int // registrations from one address; 0: 20
	// Addr gives the address of a request, for limits alone.
	Addr func(*http.Request) string
	// Sources tells whether a source exists, for operators.
	Source func(id string) bool

	Now  func() time.Time // time.Now when nil
	Rand io.Reader        // crypto/rand when nil
}

// Server serves registration, and decides for operators.
type Server struct {
	o     Options
	limit *rate.Limiter
}

// New refuses options that cannot be meant.
func New(o Options) (*Server, error) {
	switch {
	case o.Issuer == "" || strings.HasSuffix(o.Issuer, "/"):
		return nil, errors.New("apps: the Issuer is needed, without trailing slash")
	case o.Store == nil || o.URLs == nil || o.Configured == nil || o.CheckScopes == nil || o.Addr == nil:
		return nil, errors.New("apps: Store, URLs, Configured, CheckScopes and Addr are needed")
	case o.Mode != "" && o.Mode != Closed && o.Mode != Review && o.Mode != ApproveAll:
		return nil, errors.New("apps: Mode must be closed, review or approve_all")
	case len(o.Statements) > 0 && o.Keys == nil:
		return nil, errors.New("apps: software statements need Keys")
	case o.MustState && len(o.Statements) == 0:
		return nil, errors.New("apps: nobody's software statements are believed, so none can be required")
	case o.PerHour < 0:
		return nil, errors.New("apps: PerHour must not be negative")
	}
	if o.Mode == "" {
		o.Mode = Closed
	}
	if o.PerHour == 0 {
		o.PerHour = defaultPerHour
	}
	if o.Source == nil {
		o.Source = func(string) bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Server{o: o, limit: rate.New(o.PerHour, time.Hour)}, nil
}

// Open tells whether apps may register themselves.
func (s *Server) Open() bool { return s.o.Mode != Closed }

// Endpoint is the URL at which apps register, "" when they may not.
func (s *Server) Endpoint() string {
	if !s.Open() {
		return ""
	}
	return s.o.Issuer + pathRegister
}

// Mount adds the public endpoints. While registration is closed an app can
// still manage what it registered before.
func (s *Server) Mount(r *mux.Router) {
	if s.Open() {
		r.Handle(pathRegister, handler.Adapt(s.serveRegister, writeError))
	}
	r.Handle(pathManage, handler.Adapt(s.serveManage, writeError))
}

func (s *Server) manageURL(id string) string {
	return s.o.Issuer + pathRegister + "/" + url.PathEscape(id)
}
