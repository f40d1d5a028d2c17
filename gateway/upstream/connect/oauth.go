package connect

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/fetch"
)

// Signer signs assertions with a key of Portico's.
type Signer interface {
	// Sign gives claims as a JWT signed with alg, with kid.
	Sign(ctx context.Context, claims any, alg string) (string, error)
}

// ClientOptions say how to get tokens by client credentials (RFC 6749 §4.4).
type ClientOptions struct {
	TokenURL string // "" : what the EHR's smart-configuration says
	// Discover fetches from the EHR itself, without a credential; needed without
	// TokenURL.
	Discover http.RoundTripper
	Base     fhir.Base // needed without TokenURL
	// Next connects to the token endpoint. It adds nothing: that endpoint gets what
	// is below and nothing else.
	Next http.RoundTripper

	ClientID string
	Scopes   []string
	Secret   string // sent in the Authorization header, or
	InBody   bool   // in the body (client_secret_post)
	Signer   Signer // in place of Secret: private_key_jwt
	Alg      string // RS384 or ES384; "": as the signer likes

	Now func() time.Time
}

// NewFetcher makes a Fetcher of client credentials.
func NewFetcher(o ClientOptions) (Fetcher, error) {
	switch {
	case o.Next == nil || o.ClientID == "":
		return nil, errors.New("connect: Next and ClientID are required")
	case (o.Secret == "") == (o.Signer == nil):
		return nil, errors.New("connect: either a secret or a signer is required")
	case !slices.Contains([]string{"", "RS384", "ES384"}, o.Alg):
		return nil, errors.New("connect: assertions are signed with RS384 or ES384")
	case o.TokenURL == "" && (o.Discover == nil || o.Base == (fhir.Base{})):
		return nil, errors.New("connect: TokenURL, or Discover and Base, are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return (&oauthClient{o: o}).fetch, nil
}

type oauthClient struct {
	o ClientOptions

	mu         sync.Mutex
	discovered string
	until      time.Time
}

// noRedirect keeps credentials from being led elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *oauthClient) fetch(ctx context.Context) (Issued, error) {
	endpoint, err := c.endpoint(ctx)
	if err != nil {
		return Issued{}, err
	}
	config := clientcredentials.Config{
		ClientID: c.o.ClientID, ClientSecret: c.o.Secret, TokenURL: endpoint, Scopes: c.o.Scopes, AuthStyle: oauth2.AuthStyleInHeader,
	}
	if c.o.InBody {
		config.AuthStyle = oauth2.AuthStyleInParams
	}
	if c.o.Signer != nil {
		assertion, err := c.assertion(ctx, endpoint)
		if err != nil {
			return Issued{}, err
		}
		// SMART App Launch 2.2, "Obtain access token": these parameters alone.
		config.ClientID, config.AuthStyle = "", oauth2.AuthStyleInParams
		config.EndpointParams = url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion},
		}
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: onlyJSON{c.o.Next}, CheckRedirect: noRedirect})
	token, err := config.Token(ctx)
	if err != nil {
		return Issued{}, c.failure(err)
	}
	return c.issued(token)
}

// issued checks what came back (RFC 6749 §5.1, RFC 6750 §2.1).
func (c *oauthClient) issued(token *oauth2.Token) (Issued, error) {
	if !strings.EqualFold(token.TokenType, "bearer") {
		return Issued{}, errors.New("connect: the token endpoint gave a token that is not of type bearer")
	}
	if strings.IndexFunc(token.AccessToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
		return Issued{}, errors.New("connect: the token endpoint gave a token that cannot be sent")
	}
	out := Issued{Value: "Bearer " + token.AccessToken}
	if !token.Expiry.IsZero() {
		// x/oauth2 counts by the machine's clock; only the length is taken from it.
		if out.Lifetime = time.Until(token.Expiry).Round(time.Second); out.Lifetime == 0 {
			out.Lifetime = -1
		}
	}
	return out, nil
}

// errorCode is error of RFC 6749 §5.2, as far as it is worth repeating.
func errorCode(s string) string {
	if s == "" || len(s) > 40 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "no error code"
	}
	return s
}

// failure leaves the status and the code of what the endpoint said.
func (c *oauthClient) failure(err error) error {
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) || said.Response == nil {
		return errors.New("connect: the token endpoint cannot be reached or gave no token")
	}
	return &fault.Error{
		Kind: fault.Unavailable, Public: signInFailed, RetryAfter: fetch.RetryAfter(said.Response.Header, time.Now()),
		Err: fmt.Errorf("connect: the token endpoint answered %d, %s", said.Response.StatusCode, errorCode(said.ErrorCode)),
	}
}

// assertionAge is within the five minutes that SMART allows.
const assertionAge = 4 * time.Minute

// assertion proves who we are (SMART App Launch 2.2, "Client authentication:
// asymmetric"; RFC 7523 §3).
func (c *oauthClient) assertion(ctx context.Context, endpoint string) (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", fmt.Errorf("connect: jti: %w", err)
	}
	now := c.o.Now()
	text, err := c.o.Signer.Sign(ctx, map[string]any{
		"iss": c.o.ClientID, "sub": c.o.ClientID, "aud": endpoint, "jti": base64.RawURLEncoding.EncodeToString(id[:]),
		"iat": now.Unix(), "exp": now.Add(assertionAge).Unix(),
	}, c.o.Alg)
	if err != nil {
		return "", fmt.Errorf("connect: sign an assertion: %w", err)
	}
	return text, nil
}

// How long a discovered endpoint is believed, and how large the document may be.
const (
	discoveryAge = time.Hour
	maxDocument  = 1 << 20
)

// endpoint gives the token endpoint. One that is discovered must be at the EHR's
// own origin: a document must not tell us to prove ourselves to somebody else.
func (c *oauthClient) endpoint(ctx context.Context) (string, error) {
	if c.o.TokenURL != "" {
		return c.o.TokenURL, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.discovered != "" && c.o.Now().Before(c.until) {
		return c.discovered, nil
	}
	found, err := c.discover(ctx)
	if err != nil {
		if c.discovered != "" {
			return c.discovered, nil // yesterday's is better than none
		}
		return "", err
	}
	c.discovered, c.until = found, c.o.Now().Add(discoveryAge)
	return found, nil
}

func (c *oauthClient) discover(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.o.Base.String()+"/.well-known/smart-configuration", nil)
	if err != nil {
		return "", errors.New("connect: the base is no URL")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.o.Discover.RoundTrip(req)
	if err != nil {
		return "", errors.New("connect: smart-configuration cannot be fetched")
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("connect: smart-configuration: status %d; set token_url", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return "", errors.New("connect: smart-configuration broke off")
	}
	var said struct {
		TokenEndpoint string `json:"token_endpoint"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return "", errors.New("connect: smart-configuration is no JSON; set token_url")
	}
	if !sameOrigin(c.o.Base.String(), said.TokenEndpoint) {
		return "", errors.New("connect: the token endpoint of smart-configuration is not at the EHR's own origin; set token_url if it is right")
	}
	return said.TokenEndpoint, nil
}

// sameOrigin compares scheme, host and port; what could be read in two ways is of
// no origin.
func sameOrigin(base, link string) bool {
	b, err := url.Parse(base)
	if err != nil {
		return false
	}
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" || u.Host == "" || strings.Contains(link, `\`) {
		return false
	}
	origin := func(u *url.URL) [3]string {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return [3]string{u.Scheme, strings.ToLower(u.Hostname()), port}
	}
	return origin(b) == origin(u) && slices.Contains([]string{"http", "https"}, u.Scheme)
}

// onlyJSON refuses what is not RFC 6749 §5.1: x/oauth2 would read a page of text
// as a form.
type onlyJSON struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t onlyJSON) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept", "application/json")
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // told to nobody
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode < http.StatusMultipleChoices && (err != nil || media != "application/json") {
		_ = resp.Body.Close()
		return nil, errors.New("connect: the token endpoint's answer is no JSON")
	}
	return resp, nil
}
