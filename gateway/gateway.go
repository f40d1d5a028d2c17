// Package gateway is the data path: from a request with a bearer token to the
// bytes of the patient's own record. serve.go shows the path; each other file
// is one station on it, or, where its name begins with write, on the way of
// changes (write.go). Beside the path stand guard, which decides, and locate,
// capability and explain. It must not know how tokens are issued, how people
// sign in, or how anything is stored.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/klauspost/compress/gzhttp"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/inbound"
	"github.com/portico-fhir/portico/fhir/sensitivity"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/locate"
	"github.com/portico-fhir/portico/gateway/reach"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// Authenticator tells what a bearer token stands for.
type Authenticator interface {
	// Authenticate gives the grant behind a token that is good now; anything
	// else is a fault of kind Unauthenticated, or Unavailable when that cannot
	// be told.
	Authenticate(ctx context.Context, bearer string) (token.Grant, token.Access, scope.Set, error)
}

// Sessions tells whether a token that was good still stands for somebody who is
// there.
type Sessions interface {
	// Active is false once the token is revoked or over, its app may not be used,
	// or its person has signed out of what it was for. An error means that it
	// cannot be told now.
	Active(ctx context.Context, d token.Digest) (bool, error)
}

// Sealer makes handles that only this gateway can read and that are good only
// for what they were bound to.
type Sealer interface {
	SealText(plain []byte, bound string) string
	OpenText(handle, bound string) ([]byte, error)
}

// Source is one upstream as apps see it.
type Source struct {
	ID       string
	Name     string
	Base     fhir.Base // the upstream's own base
	Upstream upstream.Reader
	Versions upstream.Historian // nil: there are no old versions here
	// Files opens what attachments lead to; nil: their handles open nothing but
	// what the upstream gives as a Binary in JSON.
	Files upstream.Opener
	// Attachments are places outside Base where attachments lie that Files opens.
	Attachments []fhir.Base
	PageSize    int // most matches on a page; 0 means 200
	// Labels say which resources are withheld as sensitive; nil: none.
	Labels sensitivity.Labels
	// Writes makes changes; nil: nothing can be changed. Write is what apps may
	// do with each type, where their scopes cover it; what it does not list they
	// may not.
	Writes upstream.Writer
	Write  map[string][]guard.Interaction
}

// Options configures a Gateway.
type Options struct {
	PublicURL string // {base}: FHIR bases are {base}/fhir/{source}
	Sources   []Source
	Tokens    Authenticator
	// Sessions is asked before something is fetched ahead of a request; nil:
	// nothing ever is.
	Sessions Sessions
	Audit    audit.Sink
	Pages    Sealer
	Files    FileSealer
	Tickets  Sealer // of explain tickets; nil: there are none
	// SMART serves .well-known/smart-configuration of a source.
	SMART func(source string) http.Handler
	// AuthorizeURL and TokenURL stand in the CapabilityStatement.
	AuthorizeURL, TokenURL string
	Version                string // of the software, for the CapabilityStatement
	Now                    func() time.Time
	// Cache keeps what upstreams answered, patient by patient; nil: nothing is kept.
	Cache *cache.Cache
	// HoldBytes is how much of an answer is checked before its first byte
	// leaves; 0 means 512 KiB. What is larger streams.
	HoldBytes int
	Limits    Limits
}

// Gateway serves the FHIR bases of all sources.
type Gateway struct {
	publicURL string
	sources   map[string]*source
	tokens    Authenticator
	sessions  Sessions
	audit     audit.Sink
	pages     Sealer
	files     FileSealer
	tickets   Sealer
	waiting   explain.Room
	smart     func(source string) http.Handler
	oauth     oauthURIs
	version   string
	now       func() time.Time
	cache     *cache.Cache
	hold      int
	limits    Limits
}

// source is a Source with what follows from it.
type source struct {
	Source
	publicBase string    // {public URL}/fhir/{id}
	public     fhir.Base // the same, parsed
	reach      *reach.Memory
	alone      time.Duration // how long what is in it lasts without a cache; 0: there is one
	where      *locate.Locator
}

type oauthURIs struct{ authorize, token string }

// New checks the options and makes a Gateway.
func New(o Options) (*Gateway, error) {
	switch {
	case o.PublicURL == "" || strings.HasSuffix(o.PublicURL, "/"):
		return nil, errors.New("gateway: PublicURL is required, without a trailing slash")
	case o.Tokens == nil || o.Audit == nil || o.Pages == nil || o.Files == nil || o.SMART == nil:
		return nil, errors.New("gateway: Tokens, Audit, Pages, Files and SMART are required")
	case len(o.Sources) == 0:
		return nil, errors.New("gateway: at least one source is required")
	case o.Limits.Budget == nil && !(o.Limits.PerApp.None() && o.Limits.PerPatient.None()):
		return nil, errors.New("gateway: limits need a Budget")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HoldBytes == 0 {
		o.HoldBytes = 512 << 10
	}
	g := &Gateway{
		publicURL: o.PublicURL, sources: map[string]*source{}, tokens: o.Tokens, sessions: o.Sessions, audit: o.Audit, pages: o.Pages, files: o.Files, tickets: o.Tickets, smart: o.SMART,
		oauth: oauthURIs{o.AuthorizeURL, o.TokenURL}, version: o.Version, now: o.Now, cache: o.Cache, hold: o.HoldBytes, limits: o.Limits,
	}
	alone := reachAlone
	if o.Cache != nil {
		alone = 0
	}
	for _, s := range o.Sources {
		switch {
		case s.ID == "" || s.Upstream == nil || s.Base == (fhir.Base{}):
			return nil, fmt.Errorf("gateway: source %q needs an id, a base and an upstream", s.ID)
		case g.sources[s.ID] != nil:
			return nil, fmt.Errorf("gateway: source %q is there twice", s.ID)
		}
		if err := checkWrite(s); err != nil {
			return nil, err
		}
		if s.PageSize == 0 {
			s.PageSize = 200
		}
		publicBase := o.PublicURL + "/fhir/" + s.ID
		public, err := fhir.ParseBase(publicBase)
		if err != nil {
			return nil, fmt.Errorf("gateway: public URL: %w", err)
		}
		where, err := locate.New(s.Base, public, s.Attachments)
		if err != nil {
			return nil, err
		}
		g.sources[s.ID] = &source{Source: s, publicBase: publicBase, public: public, reach: reach.New(o.Now), alone: alone, where: where}
	}
	return g, nil
}

// checkWrite refuses a policy that could not hold.
func checkWrite(s Source) error {
	for typ, interactions := range s.Write {
		if reason, ok := inbound.Writable(typ); !ok {
			return fmt.Errorf("gateway: source %q: %s cannot be written by apps: %s", s.ID, typ, reason)
		}
		for _, i := range interactions {
			switch i {
			case guard.Create, guard.Update, guard.Patch, guard.Delete:
			default:
				return fmt.Errorf("gateway: source %q: %q is no way to write", s.ID, i)
			}
		}
	}
	if len(s.Write) > 0 && s.Writes == nil {
		return fmt.Errorf("gateway: source %q: nothing there can write", s.ID)
	}
	return nil
}

// Mount adds the FHIR bases to a router. The router must not clean paths
// (SkipClean) and must match encoded ones (UseEncodedPath): what a path means
// is decided once, in parse.go.
func (g *Gateway) Mount(r *mux.Router) {
	// Compression mixes no secret with what an attacker chooses: without the
	// bearer token there is no answer, and no page can make a browser send it.
	r.PathPrefix("/fhir/").Handler(gzhttp.GzipHandler(cors(http.HandlerFunc(g.route))))
}

func (g *Gateway) unknownSource(http.ResponseWriter, *http.Request) error {
	return fault.New(fault.NotFound, "There is no such FHIR base here.")
}

// route tells the open endpoints of a source from the guarded ones.
func (g *Gateway) route(w http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/fhir/"), "/")
	src, known := g.sources[id]
	if !known {
		handler.Adapt(g.unknownSource, writeOutcome).ServeHTTP(w, r)
		return
	}
	var serve handler.Func
	switch rest {
	case ".well-known/smart-configuration":
		g.smart(id).ServeHTTP(w, r)
		return
	case "metadata":
		serve = func(w http.ResponseWriter, r *http.Request) error { return g.metadata(w, r, src) }
	case "":
		if r.Method == http.MethodPost {
			serve = func(w http.ResponseWriter, r *http.Request) error { return g.batch(w, r, src) }
			break
		}
		fallthrough
	default:
		serve = func(w http.ResponseWriter, r *http.Request) error { return g.serve(w, r, src, rest) }
	}
	if g.ticketed(r, src) {
		serve = g.explained(serve)
	}
	handler.Adapt(serve, src.refuseMethod(rest)).ServeHTTP(w, r)
}
