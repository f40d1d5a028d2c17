package idp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	requestTime = 15 * time.Minute // for a person to sign in
	codeTime    = time.Minute
	tokenTime   = 5 * time.Minute // enough to ask userinfo once
)

var errUnknown = errors.New("unknown, used or expired")

// storage keeps everything in memory behind one lock. What it hands out are
// copies, so that no request sees another one's change half done.
type storage struct {
	now     func() time.Time
	people  map[string]Person // by subject
	clients map[string]*client
	key     signingKey

	mu       sync.Mutex
	requests map[string]authRequest
	codes    map[string]code
	tokens   map[string]accessToken
}

type code struct {
	request string
	expires time.Time
}

type accessToken struct {
	client, subject string
	scopes          []string
	expires         time.Time
}

var (
	_ op.Storage                   = (*storage)(nil)
	_ op.CanSetUserinfoFromRequest = (*storage)(nil)
)

func newStorage(o Options) (*storage, error) {
	// ES256: a key costs microseconds, where RSA may take a third of a second.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("idp: signing key: %w", err)
	}
	s := &storage{
		now: o.Now, people: make(map[string]Person), clients: make(map[string]*client),
		key:      signingKey{id: rand.Text(), key: key},
		requests: make(map[string]authRequest), codes: make(map[string]code), tokens: make(map[string]accessToken),
	}
	for _, p := range o.People {
		s.people[subject(p)] = p
	}
	for _, c := range o.Clients {
		s.clients[c.ID] = &client{c}
	}
	return s, nil
}

// subject is the sub of a person: stable over restarts, unlike the keys.
func subject(p Person) string { return "demo-" + p.Login }

// purge forgets what has expired. The caller holds the lock.
func (s *storage) purge() {
	now := s.now()
	for id, r := range s.requests {
		if !now.Before(r.expires) {
			delete(s.requests, id)
		}
	}
	for value, c := range s.codes {
		if !now.Before(c.expires) {
			delete(s.codes, value)
		}
	}
	for id, t := range s.tokens {
		if !now.Before(t.expires) {
			delete(s.tokens, id)
		}
	}
}

// CreateAuthRequest keeps a request that the library has validated, after the
// checks that it leaves out.
func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if err := furtherChecks(r); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge()
	kept := authRequest{
		id: rand.Text(), client: r.ClientID, redirectURI: r.RedirectURI, state: r.State, nonce: r.Nonce,
		scopes: r.Scopes, responseMode: r.ResponseMode, hint: r.LoginHint,
		challenge: oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod},
		expires:   s.now().Add(requestTime),
	}
	s.requests[kept.id] = kept
	return kept, nil
}

// furtherChecks refuses what the library would drop or let pass: every refusal
// names its reason.
func furtherChecks(r *oidc.AuthRequest) error {
	known := map[string]bool{"openid": true, "profile": true, "email": true, "fhirUser": true}
	openid := false
	for _, scope := range r.Scopes {
		if !known[scope] {
			return oidc.ErrInvalidScope().WithDescription("this provider knows the scopes openid, profile, email and fhirUser")
		}
		openid = openid || scope == "openid"
	}
	switch {
	case !openid:
		return oidc.ErrInvalidScope().WithDescription("the scope openid is missing")
	case r.ResponseType != oidc.ResponseTypeCode:
		return oidc.ErrInvalidRequest().WithDescription("the response type must be code")
	case r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256:
		return oidc.ErrInvalidRequest().WithDescription("PKCE with S256 is required")
	case len(r.Prompt) == 1 && r.Prompt[0] == oidc.PromptNone:
		return oidc.ErrLoginRequired().WithDescription("this provider remembers nobody: people sign in each time")
	}
	return nil
}

// AuthRequestByID gives a request that has not expired.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	r, err := s.request(id)
	if err != nil {
		return nil, err // not r: a typed zero is no nil
	}
	return r, nil
}

func (s *storage) request(id string) (authRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, found := s.requests[id]
	if !found || !s.now().Before(r.expires) {
		return authRequest{}, errUnknown
	}
	return r, nil
}

// signIn notes on a request who has signed in and how.
func (s *storage) signIn(id string, p Person, methods []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, found := s.requests[id]
	if !found || !s.now().Before(r.expires) || r.code {
		return errUnknown
	}
	r.subject, r.amr, r.authTime = subject(p), methods, s.now()
	s.requests[id] = r
	return nil
}

// SaveAuthCode keeps the one code that a request may have.
func (s *storage) SaveAuthCode(_ context.Context, id, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge()
	r, found := s.requests[id]
	if !found || r.code {
		return oidc.ErrInvalidRequest().WithDescription("this sign-in was finished already")
	}
	r.code = true
	s.requests[id] = r
	s.codes[value] = code{request: id, expires: s.now().Add(codeTime)}
	return nil
}

// AuthRequestByCode uses the code up, whatever comes of it (RFC 6749 4.1.2).
func (s *storage) AuthRequestByCode(_ context.Context, value string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, found := s.codes[value]
	delete(s.codes, value)
	r, kept := s.requests[c.request]
	delete(s.requests, c.request)
	if !found || !kept || !s.now().Before(c.expires) {
		return nil, errUnknown
	}
	return r, nil
}

// DeleteAuthRequest forgets a request.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

// CreateAccessToken makes the token with which userinfo is asked.
func (s *storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	request, ok := r.(authRequest)
	if !ok {
		return "", time.Time{}, oidc.ErrUnsupportedGrantType()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge()
	id, expires := rand.Text(), s.now().Add(tokenTime)
	s.tokens[id] = accessToken{client: request.client, subject: request.subject, scopes: request.scopes, expires: expires}
	return id, expires, nil
}

// TerminateSession ends what a person has at a client.
func (s *storage) TerminateSession(_ context.Context, user, client string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range s.tokens {
		if t.subject == user && t.client == client {
			delete(s.tokens, id)
		}
	}
	return nil
}

// GetClientByClientID gives a registered client.
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, found := s.clients[id]
	if !found {
		return nil, errUnknown
	}
	return c, nil
}

// AuthorizeClientIDSecret authenticates a client.
func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	c, found := s.clients[id]
	if !found || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) != 1 {
		return errUnknown
	}
	return nil
}

// SetUserinfoFromRequest puts the person's claims into an id_token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	return s.claims(info, r.GetSubject(), scopes)
}

// SetUserinfoFromToken answers userinfo.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, subject, _ string) error {
	s.mu.Lock()
	t, found := s.tokens[id]
	s.mu.Unlock()
	if !found || t.subject != subject || !s.now().Before(t.expires) {
		return errUnknown
	}
	return s.claims(info, subject, t.scopes)
}

// claims gives what the scopes ask for. fhirUser comes with every sign-in: all
// clients are the health system's own.
func (s *storage) claims(info *oidc.UserInfo, subject string, scopes []string) error {
	p, found := s.people[subject]
	if !found {
		return errUnknown
	}
	info.Subject = subject
	for _, scope := range scopes {
		switch scope {
		case oidc.ScopeProfile:
			info.Name, info.PreferredUsername = p.Name, p.Login
		case oidc.ScopeEmail:
			info.Email, info.EmailVerified = p.Email, p.Email != ""
		}
	}
	if len(p.FHIRUser) > 0 {
		info.AppendClaims("fhirUser", p.FHIRUser)
	}
	return nil
}

// Health implements op.Storage: memory is always there.
func (s *storage) Health(context.Context) error { return nil }
