package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// leeway is how far a provider's clock may be from ours.
	leeway = 60 * time.Second

	// fresh is how long a discovery document counts. With it the provider's keys
	// are fetched anew, so that a key it withdrew is not trusted for longer.
	fresh = time.Hour

	// pause is how long a failed discovery answers for those who come next, so
	// that they do not queue up behind a provider that is down.
	pause = 2 * time.Second
)

// provider is a configured provider and what its discovery document said, once
// it could be read.
type provider struct {
	Provider
	redirectURI string
	http        *http.Client
	now         func() time.Time

	turn   chan struct{} // holds one token; guards what follows
	known  *discovered
	asked  time.Time // when known was read
	failed time.Time // when reading last failed
	cause  error     // and why
}

// discovered is a provider ready for use.
type discovered struct {
	oidc     *oidc.Provider
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	sendsIss bool // RFC 9207 section 3
	// endSession is where the provider signs people out, "" for nowhere.
	endSession string
}

func newProvider(p Provider, redirectURI string, now func() time.Time) *provider {
	out := &provider{Provider: p, redirectURI: redirectURI, http: p.client(), now: now, turn: make(chan struct{}, 1)}
	out.turn <- struct{}{}
	return out
}

// discover gives the provider ready for use, reading its discovery document
// when that has not been done or was long ago. A document that was good stays
// in use while a new one cannot be had.
func (p *provider) discover(ctx context.Context) (*discovered, error) {
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for discovery: %w", ctx.Err())
	case <-p.turn:
	}
	defer func() { p.turn <- struct{}{} }()
	now := p.now()
	if p.known != nil && now.Sub(p.asked) < fresh {
		return p.known, nil
	}
	if p.cause != nil && now.Sub(p.failed) < pause {
		return p.knownOr(p.cause)
	}
	// The answer serves everybody who waits, so it does not hang on the first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), providerTimeout)
	defer cancel()
	read, err := p.read(ctx)
	if err != nil {
		p.failed, p.cause = p.now(), err
		return p.knownOr(err)
	}
	p.known, p.asked, p.cause = read, p.now(), nil
	return read, nil
}

// there reads the discovery document and keeps nothing of it: what is known stays
// in use, with the keys that were fetched for it.
func (p *provider) there(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	_, err := p.read(ctx)
	return err
}

func (p *provider) knownOr(err error) (*discovered, error) {
	if p.known != nil {
		return p.known, nil
	}
	return nil, err
}

func (p *provider) read(ctx context.Context) (*discovered, error) {
	found, err := oidc.NewProvider(p.context(ctx), p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var doc struct {
		JWKS        string   `json:"jwks_uri"`
		UserInfo    string   `json:"userinfo_endpoint"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		SendsIss    bool     `json:"authorization_response_iss_parameter_supported"`
		EndSession  string   `json:"end_session_endpoint"`
	}
	if err := found.Claims(&doc); err != nil {
		return nil, errors.New("discovery: the document has a wrong form")
	}
	endpoint := found.Endpoint()
	for name, address := range map[string]string{
		"authorization_endpoint": endpoint.AuthURL, "token_endpoint": endpoint.TokenURL,
		"jwks_uri": doc.JWKS, "userinfo_endpoint": doc.UserInfo,
	} {
		if name == "userinfo_endpoint" && address == "" {
			continue
		}
		if !noWeaker(p.Issuer, address) {
			return nil, fmt.Errorf("discovery: %s is missing, malformed or less protected than the issuer", name)
		}
	}
	if !noWeaker(p.Issuer, doc.EndSession) {
		doc.EndSession = "" // it gets an id_token; whoever signs in can do without it
	}
	endpoint.AuthStyle = authStyle(p.ClientSecret, doc.AuthMethods)
	return &discovered{
		oidc: found,
		oauth: oauth2.Config{
			ClientID: p.ClientID, ClientSecret: p.ClientSecret,
			Endpoint: endpoint, RedirectURL: p.redirectURI, Scopes: p.scopes(),
		},
		// The verifier accepts the asymmetric algorithms the document lists and
		// never none or HS256. It compares exp and nbf with a clock that is
		// behind by the leeway; nbf has a leeway of its own there.
		verifier: found.Verifier(&oidc.Config{
			ClientID: p.ClientID, Now: func() time.Time { return p.now().Add(-leeway) },
		}),
		sendsIss: doc.SendsIss, endSession: doc.EndSession,
	}, nil
}

// context carries the HTTP client to go-oidc and x/oauth2.
func (p *provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.http)
}

// noWeaker says whether address is an absolute URL and https when the issuer is.
func noWeaker(issuer, address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	return u.Scheme == "https" || (u.Scheme == "http" && strings.HasPrefix(issuer, "http://"))
}

// authStyle chooses how the client authenticates instead of trying both: a
// second try would present a code that the first may have used up. What is not
// listed means client_secret_basic (OpenID Connect Discovery section 3).
func authStyle(secret string, methods []string) oauth2.AuthStyle {
	if secret == "" || (len(methods) > 0 && !slices.Contains(methods, "client_secret_basic")) {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}
