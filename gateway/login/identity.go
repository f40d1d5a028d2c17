package login

import (
	"context"
	"crypto/subtle"
	stdjson "encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/internal/fault"
)

// identity is what the provider vouches for.
type identity struct {
	issuer, subject, name string
	authTime              time.Time // zero: not said
	acr, sid, idToken     string
	amr                   []string
	claims                map[string]any
}

func untrusted(cause error) *problem {
	return fail(fault.Upstream, "The sign-in could not be checked",
		"The answer of the sign-in service did not pass the checks of this site, so nobody was signed in.", cause)
}

// identify exchanges the code and verifies everything that comes back (OpenID
// Connect Core 3.1.3.7). Errors are written here anew: those of the libraries
// may quote bodies and claims.
func (p *provider) identify(ctx context.Context, ready *discovered, code string, f flight) (identity, *problem) {
	ctx, cancel := context.WithTimeout(p.context(ctx), 2*providerTimeout)
	defer cancel()
	token, err := ready.oauth.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return identity{}, exchangeProblem(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return identity{}, untrusted(errors.New("no id_token in the token response"))
	}
	verified, err := ready.verifier.Verify(ctx, raw)
	if err != nil {
		return identity{}, verifyProblem(err)
	}
	claims, err := p.check(verified, token.AccessToken, f.Nonce)
	if err != nil {
		return identity{}, untrusted(err)
	}
	if missing := p.missing(claims); len(missing) > 0 && ready.oidc.UserInfoEndpoint() != "" {
		if refused := complete(ctx, ready, token, verified.Subject, claims); refused != nil {
			// For want of a name alone nobody is turned away, but whose answer
			// it is must be right in any case.
			if fault.KindOf(refused) != fault.Unavailable || !slices.Equal(missing, []string{"name"}) {
				return identity{}, refused
			}
		}
	}
	return identity{
		issuer: p.Issuer, subject: verified.Subject, name: nameIn(claims),
		authTime: authTime(claims, verified.IssuedAt), acr: short(claims["acr"]), amr: methods(claims["amr"]),
		sid: short(claims["sid"]), idToken: raw, claims: claims,
	}, nil
}

func exchangeProblem(err error) *problem {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return fail(fault.Unavailable, "Signing in is not possible right now",
			"The sign-in service does not answer. Please try again in a few minutes.", errors.New("the token endpoint gave no usable answer"))
	}
	switch {
	case answer.ErrorCode == "invalid_grant":
		return fail(fault.Invalid, "This sign-in cannot be continued",
			"The sign-in service no longer accepts this attempt. Please start again.", errors.New("invalid_grant"))
	case answer.Response != nil && answer.Response.StatusCode >= http.StatusInternalServerError:
		return fail(fault.Unavailable, "Signing in is not possible right now",
			"The sign-in service reports a problem. Please try again in a few minutes.", errors.New("the token endpoint answered 5xx"))
	case answer.ErrorCode == "invalid_client" || answer.ErrorCode == "unauthorized_client":
		return refusal("unauthorized_client")
	}
	return refusal("invalid_request")
}

func verifyProblem(err error) *problem {
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return untrusted(errors.New("the id_token has expired"))
	case strings.Contains(err.Error(), "fetching keys"): // go-oidc wraps it with %v
		return fail(fault.Unavailable, "Signing in is not possible right now",
			"The sign-in service does not answer. Please try again in a few minutes.", errors.New("the provider's keys cannot be fetched"))
	}
	return untrusted(errors.New("the id_token does not verify: signature, algorithm, issuer, audience or time"))
}

// check does what the verifier leaves to the caller, and reads the claims with
// a reader that refuses duplicate names, since two readers could understand
// them differently.
func (p *provider) check(token *oidc.IDToken, accessToken, nonce string) (map[string]any, error) {
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return nil, errors.New("the nonce of the id_token is another")
	}
	if token.AccessTokenHash != "" && token.VerifyAccessToken(accessToken) != nil {
		return nil, errors.New("at_hash is not that of the access token")
	}
	if token.Subject == "" || len(token.Subject) > 255 {
		return nil, errors.New("sub is missing or longer than 255 bytes")
	}
	if token.IssuedAt.Unix() <= 0 || token.IssuedAt.After(p.now().Add(leeway)) {
		return nil, errors.New("iat is missing or in the future")
	}
	if token.Issuer != p.Issuer {
		return nil, errors.New("iss is another issuer")
	}
	claims, err := strictClaims(token)
	if err != nil {
		return nil, err
	}
	if claims["sub"] != any(token.Subject) || claims["iss"] != any(token.Issuer) {
		return nil, errors.New("the id_token can be read in two ways")
	}
	azp, present := claims["azp"]
	if (present && azp != any(p.ClientID)) || (!present && len(token.Audience) > 1) {
		return nil, errors.New("azp is missing or another client")
	}
	return claims, nil
}

// strictClaims reads all claims of an id_token or a userinfo answer.
func strictClaims(from interface{ Claims(v any) error }) (map[string]any, error) {
	var raw stdjson.RawMessage
	if err := from.Claims(&raw); err != nil {
		return nil, errors.New("the claims cannot be read")
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil || claims == nil {
		return nil, errors.New("the claims are not one JSON object without duplicate names")
	}
	return claims, nil
}

// missing names the claims that are wanted and not there. Providers may keep
// what a scope asks for out of the id_token (OpenID Connect Core 5.4).
func (p *provider) missing(claims map[string]any) []string {
	var out []string
	for _, name := range p.Claims {
		if _, there := claims[name]; !there && name != "" {
			out = append(out, name)
		}
	}
	if nameIn(claims) == "" && !slices.Contains(out, "name") {
		out = append(out, "name")
	}
	return out
}

// protocol are claims about the sign-in and not about the person; userinfo,
// which is not signed, has no say in them.
var protocol = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "iat": true, "nbf": true, "nonce": true, "azp": true, "jti": true, "sid": true,
	"auth_time": true, "acr": true, "amr": true, "at_hash": true, "c_hash": true, "_claim_names": true, "_claim_sources": true,
}

// complete adds what userinfo says and the id_token does not (OpenID Connect
// Core 5.3.2: its sub must be that of the id_token).
func complete(ctx context.Context, ready *discovered, token *oauth2.Token, subject string, claims map[string]any) *problem {
	info, err := ready.oidc.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fail(fault.Unavailable, "Signing in is not possible right now",
			"The sign-in service does not say who you are. Please try again in a few minutes.", errors.New("userinfo gave no usable answer"))
	}
	more, err := strictClaims(info)
	if err != nil {
		return untrusted(err)
	}
	if info.Subject != subject || more["sub"] != any(subject) {
		return untrusted(errors.New("userinfo is about another sub"))
	}
	for name, value := range more {
		if _, there := claims[name]; !there && !protocol[name] {
			claims[name] = value
		}
	}
	return nil
}

// nameIn gives a name for greeting.
func nameIn(claims map[string]any) string {
	text := func(name string) string {
		s, _ := claims[name].(string)
		return strings.TrimSpace(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, s))
	}
	name := text("name")
	if name == "" {
		name = strings.TrimSpace(text("given_name") + " " + text("family_name"))
	}
	if runes := []rune(name); len(runes) > 200 {
		name = string(runes[:200])
	}
	return name
}

// authTime says when the person proved who they are: auth_time. Without it, or
// with one that cannot be, nobody knows: iat would be the latest it can have
// been, which says nothing about how fresh a sign-in is.
func authTime(claims map[string]any, issued time.Time) time.Time {
	seconds, ok := claims["auth_time"].(float64)
	if !ok || seconds <= 0 || seconds > float64(issued.Add(leeway).Unix()) {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// maxMethods bounds what is kept of how somebody signed in.
const maxMethods = 20

// short gives a claim that is a short text, otherwise "".
func short(claim any) string {
	text, _ := claim.(string)
	if len(text) > 255 {
		return ""
	}
	return text
}

// methods reads amr, an array of texts (OpenID Connect Core section 2).
func methods(claim any) []string {
	list, _ := claim.([]any)
	var out []string
	for _, item := range list {
		if text := short(item); text != "" && len(out) < maxMethods {
			out = append(out, text)
		}
	}
	return out
}
