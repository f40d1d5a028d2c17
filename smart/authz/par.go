package authz

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
)

const (
	pathPAR = "/oauth/par"
	// requestURIPrefix is in front of the secret (RFC 9126 §2.2).
	requestURIPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedTTL is long enough for a slow browser, and within the 5 to 600
	// seconds of RFC 9126 §2.2.
	pushedTTL = 90 * time.Second
	// maxPushed bounds what is kept of a request: names and values.
	maxPushed = 24 << 10
)

// Pushed is a pushed authorization request (RFC 9126).
type Pushed struct {
	Digest  token.Digest // of the secret in its request_uri
	Client  string
	Params  string // form-encoded, without credentials
	Expires time.Time
}

// PushedStore keeps pushed requests. authztest.RunPushedStore holds every
// implementation to what is said here.
type PushedStore interface {
	// CreatePushed keeps one; a digest that is taken is an error.
	CreatePushed(ctx context.Context, p Pushed) error
	// UsePushed uses up with one atomic statement, and gives, the request of
	// client with this digest that is good at now (now is before Expires);
	// otherwise token.ErrNotFound, and nothing is used up.
	UsePushed(ctx context.Context, d token.Digest, client string, now time.Time) (Pushed, error)
}

// servePAR is the pushed authorization request endpoint (RFC 9126 §2). It takes
// what the authorization endpoint takes, from a client that has authenticated
// as at the token endpoint, and refuses here what would be refused there.
func (s *Server) servePAR(w http.ResponseWriter, r *http.Request) error {
	p, app, err := s.readClient(w, r)
	if err != nil {
		return err
	}
	if err := s.pushable(p, app); err != nil {
		return err
	}
	if err := s.mayBegin(r); err != nil {
		return err
	}
	secret, digest := token.NewSecret(s.o.Rand)
	err = s.o.Pushed.CreatePushed(r.Context(), Pushed{
		Digest: digest, Client: app.ID, Params: withoutCredentials(p, app.ID), Expires: s.o.Now().Add(pushedTTL),
	})
	if err != nil {
		return unavailable(err, "keep a pushed request")
	}
	writeJSON(w, http.StatusCreated, map[string]any{
		"request_uri": requestURIPrefix + secret, "expires_in": int64(pushedTTL.Seconds()),
	})
	return nil
}

// pushable checks a pushed request as far as that goes without a browser.
func (s *Server) pushable(p params, app client.Client) error {
	switch {
	case p.get("request_uri") != "":
		return refuse(invalidRequest, "request_uri must not be pushed.") // RFC 9126 §2.1
	case p.get("client_id") != "" && p.get("client_id") != app.ID:
		return refuse(invalidRequest, "client_id is not the client that authenticated.")
	case !app.AllowsRedirect(p.get("redirect_uri")):
		return refuse(invalidRequest, "redirect_uri is not registered for this app.")
	case p.size() > maxPushed:
		return refuse(invalidRequest, "The request must not be longer than %d bytes.", maxPushed)
	}
	_, err := s.examine(p, app)
	return err
}

// withoutCredentials gives the parameters for the authorization endpoint.
func withoutCredentials(p params, clientID string) string {
	v := url.Values{}
	for name, value := range p.values {
		if !slices.Contains([]string{"client_secret", "client_assertion", "client_assertion_type"}, name) {
			v.Set(name, value)
		}
	}
	v.Set("client_id", clientID)
	return v.Encode()
}

// pulled gives the parameters of the pushed request that p names, or p itself
// when it names none. What stands beside a request_uri does not count, so that
// nobody on the way can change a request that was pushed (RFC 9126 §4; RFC 9101
// §5).
func (s *Server) pulled(ctx context.Context, p params) (params, error) {
	secret, ok := strings.CutPrefix(p.get("request_uri"), requestURIPrefix)
	if !ok {
		return p, nil
	}
	if p.repeated("client_id", "request_uri") {
		return params{}, unreadable(errors.New("client_id or request_uri stands more than once"))
	}
	kept, err := s.o.Pushed.UsePushed(ctx, token.DigestOf(secret), p.get("client_id"), s.o.Now())
	if err != nil {
		// There is no address that is proven good, so this is a page.
		return params{}, usedUp(err)
	}
	return parseParams(kept.Params)
}
