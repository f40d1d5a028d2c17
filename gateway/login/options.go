package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/internal/seal"
)

// Provider is one OpenID provider at which people of some sources sign in.
type Provider struct {
	ID           string // in the configuration; kept with the session
	Name         string // for pages
	Issuer       string // exactly as in its discovery document
	ClientID     string
	ClientSecret string   // empty for a public client: PKCE alone
	Scopes       []string // besides openid; nil asks for profile
	Sources      []string // source ids whose people sign in here
	// Claims are the names of the claims from which links are made. The
	// userinfo endpoint is asked when the id_token lacks one of them.
	Claims     []string
	HTTPClient *http.Client // nil: one with limits; redirects are never followed
}

// Enroller makes links from what the provider said of a person. Its error is a
// fault: NotFound when no record can be linked, any other kind when that could
// not be found out. Public is shown to the person.
type Enroller interface {
	SignedIn(ctx context.Context, source string, p enroll.Person, claims map[string]any) error
}

// Failure is what a person is told when a sign-in does not succeed.
type Failure struct {
	Status int
	Title  string
	Detail string
	Retry  string // a path on this server that starts again, "" when there is none
	// SomebodyElse: by Retry the provider asks anew who it is.
	SomebodyElse bool
	Leave        string // a path on this server for a person who gives up, "" when there is none
}

// ProblemPage draws a failure. Nothing has been written when it is called.
type ProblemPage interface {
	SignInProblem(w http.ResponseWriter, r *http.Request, f Failure) error
}

// ProblemFunc is a function as a ProblemPage.
type ProblemFunc func(w http.ResponseWriter, r *http.Request, f Failure) error

// SignInProblem implements ProblemPage.
func (draw ProblemFunc) SignInProblem(w http.ResponseWriter, r *http.Request, f Failure) error {
	return draw(w, r, f)
}

// Choice is one provider on the page on which a person chooses.
type Choice struct {
	Name string
	URL  string // a path on this server
}

// ChoicePage draws the choice among several providers of a source.
type ChoicePage func(w http.ResponseWriter, r *http.Request, source string, choices []Choice) error

// SignOutView is the page about signing out.
type SignOutView struct {
	SignedIn bool
	Person   string // who is, "" when the provider gave no name
	// Next is where the browser goes on by itself after signing out: here, to
	// sign in again, or to the provider, which ends its own session; "" nowhere.
	Next string
}

// SignOutPage draws the page about signing out.
type SignOutPage func(w http.ResponseWriter, r *http.Request, v SignOutView) error

// Options is what the relying party needs.
type Options struct {
	PublicURL string // of this server, without trailing slash; the redirect URI is {PublicURL}/login/callback
	Providers []Provider
	Sessions  SessionStore
	Enroller  Enroller
	Seal      *seal.Ring
	Problem   ProblemPage
	SignOut   SignOutPage
	Choose    ChoicePage // needed when a source has several providers
	Now       func() time.Time
	Rand      io.Reader
	Idle      time.Duration // a session not used for so long ends
	Absolute  time.Duration // a session ends after so long, used or not
	Secure    bool          // PublicURL is https: cookies have the __Host- prefix
}

// check finds what cannot work together before anybody signs in.
func (o Options) check() error {
	u, err := url.Parse(o.PublicURL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(o.PublicURL, "/"):
		return fmt.Errorf("login: public URL %q must be an absolute URL without query, fragment and trailing slash", o.PublicURL)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("login: public URL %q is not http or https", o.PublicURL)
	case o.Secure != (u.Scheme == "https"):
		return errors.New("login: Secure goes with an https public URL and only with one")
	case o.Sessions == nil, o.Enroller == nil, o.Seal == nil, o.Problem == nil, o.SignOut == nil, o.Now == nil, o.Rand == nil:
		return errors.New("login: Sessions, Enroller, Seal, Problem, SignOut, Now and Rand are required")
	case o.Idle <= 0 || o.Absolute < o.Idle:
		return errors.New("login: Idle must be positive and not longer than Absolute")
	case len(o.Providers) == 0:
		return errors.New("login: at least one provider is required")
	}
	ids := make(map[string]bool)
	for i, p := range o.Providers {
		if err := p.check(); err != nil {
			return fmt.Errorf("login: provider %d: %w", i+1, err)
		}
		if ids[p.ID] {
			return fmt.Errorf("login: provider id %q is there twice", p.ID)
		}
		ids[p.ID] = true
	}
	if o.Choose == nil && o.severalAnywhere() {
		return errors.New("login: a source has several providers, so Choose is required")
	}
	return nil
}

func (o Options) severalAnywhere() bool {
	seen := make(map[string]bool)
	for _, p := range o.Providers {
		for _, s := range p.Sources {
			if seen[s] {
				return true
			}
			seen[s] = true
		}
	}
	return false
}

var providerID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (p Provider) check() error {
	u, err := url.Parse(p.Issuer)
	switch {
	case !providerID.MatchString(p.ID):
		return fmt.Errorf("id %q is not made of letters, digits, dot, dash and underscore", p.ID)
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("%s: issuer %q must be an http(s) URL without query and fragment (OpenID Connect Core section 2)", p.ID, p.Issuer)
	case p.ClientID == "":
		return fmt.Errorf("%s: a client id is required", p.ID)
	case len(p.Sources) == 0 || slices.Contains(p.Sources, ""):
		return fmt.Errorf("%s: no source, or an empty one", p.ID)
	}
	return nil
}

// scopes always asks for openid, once and first (OpenID Connect Core 3.1.2.1).
func (p Provider) scopes() []string {
	wanted := p.Scopes
	if wanted == nil {
		wanted = []string{"profile"}
	}
	out := []string{"openid"}
	for _, s := range wanted {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

const (
	providerTimeout = 10 * time.Second
	maxAnswer       = 1 << 20
)

// client gives the HTTP client for talking to p: with a time limit, an upper
// bound for what is read, and no redirects, since a redirected token request
// would carry the client's secret to another place.
func (p Provider) client() *http.Client {
	c := &http.Client{}
	if p.HTTPClient != nil {
		copied := *p.HTTPClient
		c = &copied
	}
	if c.Timeout == 0 {
		c.Timeout = providerTimeout
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: providerTimeout,
			IdleConnTimeout:       time.Minute,
			ForceAttemptHTTP2:     true,
		}
	}
	c.Transport = bounded{c.Transport}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// bounded cuts answers off at maxAnswer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
