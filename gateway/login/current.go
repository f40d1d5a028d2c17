package login

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/authz"
)

func (p *RelyingParty) sessionCookie() string { return p.cookieName("portico") }

// Current implements authz.SignIn. A session is good for a source when its
// provider is one of that source's and the person's links there were renewed
// at this sign-in.
func (p *RelyingParty) Current(r *http.Request, source string) (authz.Person, bool) {
	digest, found := p.sessionDigest(r)
	if !found {
		return authz.Person{}, false
	}
	now := p.o.Now()
	s, err := p.o.Sessions.Session(r.Context(), digest, now, now.Add(-p.o.Idle))
	if err != nil {
		// Without the store nobody is known: the person signs in anew and is
		// told there if the store is still down.
		if !errors.Is(err, ErrNoSession) {
			reqctx.From(r.Context()).Fail(err)
		}
		return authz.Person{}, false
	}
	at, served := p.serving(source, s.Provider)
	if !served || s.Provider == "" || at.Issuer != s.Issuer || !slices.Contains(s.Sources, source) {
		return authz.Person{}, false
	}
	return authz.Person{
		Issuer: s.Issuer, Subject: s.Subject, Name: s.Name, AuthTime: s.AuthTime, Since: s.Created, ACR: s.ACR, AMR: s.AMR,
	}, true
}

// sessionDigest gives the digest of the browser's session cookie. Two cookies
// of that name mean that somebody else has put one there, so neither counts.
func (p *RelyingParty) sessionDigest(r *http.Request) ([32]byte, bool) {
	cookies := r.CookiesNamed(p.sessionCookie())
	if len(cookies) != 1 || cookies[0].Value == "" {
		return [32]byte{}, false
	}
	return sha256.Sum256([]byte(cookies[0].Value)), true
}

// endSession ends every session that the browser holds.
func (p *RelyingParty) endSession(w http.ResponseWriter, r *http.Request) error {
	cookies := r.CookiesNamed(p.sessionCookie())
	for _, c := range cookies {
		if err := p.o.Sessions.DeleteSession(r.Context(), sha256.Sum256([]byte(c.Value))); err != nil {
			return fault.Wrap(err, fault.Unavailable, "Your session could not be ended. Please try again in a few minutes.")
		}
	}
	if len(cookies) > 0 {
		p.dropCookie(w, p.sessionCookie())
	}
	return nil
}
