package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// providerLogout gives the address at which the provider ends its own session
// (OpenID Connect RP-Initiated Logout 1.0 section 2), "" when it has none or
// cannot be asked: the person is signed out here in any case.
func (p *RelyingParty) providerLogout(r *http.Request) string {
	digest, found := p.sessionDigest(r)
	if !found {
		return ""
	}
	now := p.o.Now()
	s, err := p.o.Sessions.Session(r.Context(), digest, now, now.Add(-p.o.Idle))
	if err != nil {
		return ""
	}
	for _, at := range p.providers {
		if at.ID != s.Provider || at.Issuer != s.Issuer {
			continue
		}
		ctx, cancel := context.WithTimeout(r.Context(), providerTimeout)
		defer cancel()
		ready, err := at.discover(ctx)
		if err != nil || ready.endSession == "" {
			return ""
		}
		return p.endSessionURL(at, ready, s)
	}
	return ""
}

func (p *RelyingParty) endSessionURL(at *provider, ready *discovered, s Session) string {
	target, err := url.Parse(ready.endSession)
	if err != nil {
		return ""
	}
	q := target.Query()
	q.Set("client_id", at.ClientID)
	q.Set("post_logout_redirect_uri", p.o.PublicURL+logoutPath)
	if hint, err := p.idTokens.OpenText(s.IDToken, string(s.Digest[:])); err == nil && len(hint) <= maxHint {
		q.Set("id_token_hint", string(hint))
	}
	target.RawQuery = q.Encode()
	return target.String()
}

// maxHint keeps an id_token out of a URL that servers would cut or refuse.
const maxHint = 6000

// maxLogoutBody bounds a back-channel request: one token in a form.
const maxLogoutBody = 64 << 10

// logoutMemory is how long a logout token without a near end is remembered.
const logoutMemory = 24 * time.Hour

// serveBackChannel is POST /login/back-channel-logout, where a provider says
// that somebody signed out (OpenID Connect Back-Channel Logout 1.0 section 2.5).
// It has no cookie and needs none: the token is signed. The sessions are gone
// when it answers.
func (p *RelyingParty) serveBackChannel(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutBody)
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 || r.URL.RawQuery != "" {
		return badLogout(errors.New("no logout_token, or more than one"))
	}
	ending, err := p.verifyLogout(r.Context(), r.PostForm.Get("logout_token"))
	if err != nil {
		return err
	}
	switch _, err := p.o.Sessions.EndSessions(r.Context(), ending); {
	case errors.Is(err, ErrLogoutUsed): // section 2.6 step 8
		return badLogout(err)
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "The sessions could not be ended. Try again later.")
	}
	noStore(w)
	w.WriteHeader(http.StatusOK)
	return nil
}

// verifyLogout checks a logout token (section 2.6).
func (p *RelyingParty) verifyLogout(ctx context.Context, raw string) (Ending, error) {
	refused := badLogout(errors.New("no provider of this issuer accepts the token"))
	for _, at := range p.providers {
		if at.Issuer != unverifiedIssuer(raw) {
			continue
		}
		e, err := p.verifyLogoutOf(ctx, at, raw)
		if err == nil {
			return e, nil
		}
		refused = err
	}
	return Ending{}, refused
}

func (p *RelyingParty) verifyLogoutOf(ctx context.Context, at *provider, raw string) (Ending, error) {
	ready, err := at.discover(ctx)
	if err != nil {
		return Ending{}, fault.Wrap(err, fault.Unavailable, "The token cannot be checked now. Try again later.")
	}
	// Signature, algorithm, iss, aud, exp, jti, the event, no nonce, sub or sid.
	t, err := ready.verifier.VerifyLogout(at.context(ctx), raw)
	if err != nil {
		if strings.Contains(err.Error(), "fetching keys") { // go-oidc wraps it with %v
			return Ending{}, fault.Wrap(errors.New("the provider's keys cannot be fetched"), fault.Unavailable, "The token cannot be checked now. Try again later.")
		}
		return Ending{}, badLogout(errors.New("the logout token does not verify"))
	}
	claims, err := strictClaims(t)
	if err != nil {
		return Ending{}, badLogout(err)
	}
	events, _ := claims["events"].(map[string]any)
	if _, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any); !ok {
		return Ending{}, badLogout(errors.New("the event is not there"))
	}
	now := p.o.Now()
	if t.IssuedAt.Unix() <= 0 || t.IssuedAt.After(now.Add(leeway)) || now.Sub(t.IssuedAt) > logoutMemory {
		return Ending{}, badLogout(errors.New("iat is missing, in the future or long ago"))
	}
	return Ending{
		Issuer: at.Issuer, Subject: t.Subject, SID: t.SessionID,
		Token: sha256.Sum256([]byte(at.Issuer + "\x00" + t.TokenID)), Expires: t.Expiry.Add(leeway),
	}, nil
}

// unverifiedIssuer looks into a token before it is verified, only to find whose
// keys are to verify it.
func unverifiedIssuer(raw string) string {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if stdjson.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

func badLogout(cause error) error {
	return fault.Wrap(fmt.Errorf("back-channel logout: %w", cause), fault.Invalid, "The logout token is not accepted.")
}

// writeLogoutError answers a provider (section 2.8): JSON in the form of OAuth
// errors.
func writeLogoutError(w http.ResponseWriter, r *http.Request, err error) {
	status, code := handler.Status(err), "invalid_request"
	if status >= http.StatusInternalServerError {
		code = "server_error"
		reqctx.From(r.Context()).Fail(err)
	}
	noStore(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = stdjson.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": fault.PublicOf(err)}) // the caller is gone if this fails
}
