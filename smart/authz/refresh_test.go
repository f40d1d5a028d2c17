package authz_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
)

const (
	offlineScopes = "openid fhirUser launch/patient offline_access patient/Observation.rs patient/Condition.read"
	day           = 24 * time.Hour
)

// offline goes the whole way with offline access, and gives the first answer of
// the token endpoint.
func (h *harness) offline() answer {
	h.t.Helper()
	got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", offlineScopes) }), nil))
	if got.status != http.StatusOK || got.text("refresh_token") == "" {
		h.t.Fatalf("no refresh token: %d %s", got.status, got.raw)
	}
	return got
}

func refreshWith(secret string, change func(f url.Values)) url.Values {
	f := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {secret}, "client_id": {publicApp}}
	if change != nil {
		change(f)
	}
	return f
}

func TestRefreshGivesAllThatTheFirstAnswerGave(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	first := h.offline()
	secret := first.text("refresh_token")
	// Two in a row: without scope, and with the scope as it was received.
	for i, scopes := range []string{"", first.text("scope")} {
		h.advance(time.Hour)
		got := h.token(refreshWith(secret, func(f url.Values) {
			if scopes != "" {
				f.Set("scope", scopes)
			}
		}))
		if got.status != http.StatusOK || got.text("scope") != offlineScopes || got.text("token_type") != "Bearer" ||
			got.body["expires_in"] != float64(3600) || got.text("patient") != "p1" || got.text("refresh_token") == "" ||
			got.text("refresh_token") == secret || got.text("access_token") == first.text("access_token") {
			t.Fatalf("refresh %d: %d %s", i, got.status, got.raw)
		}
		if !strings.Contains(got.header.Get("Cache-Control"), "no-store") || got.header.Get("Pragma") != "no-cache" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("refresh %d: headers %v", i, got.header)
		}
		before, after := claimsOf(t, first.text("id_token")), claimsOf(t, got.text("id_token"))
		for _, same := range []string{"iss", "sub", "aud", "auth_time", "fhirUser"} {
			if before[same] == nil || before[same] != after[same] {
				t.Errorf("refresh %d: %s was %v, is %v", i, same, before[same], after[same])
			}
		}
		if after["nonce"] != nil || after["iat"] == before["iat"] {
			t.Errorf("refresh %d: nonce %v, iat %v", i, after["nonce"], after["iat"])
		}
		if grant, ok := h.good(got.text("access_token")); !ok || grant.Patient != "p1" {
			t.Errorf("refresh %d: the access token is not good", i)
		}
		secret = got.text("refresh_token")
	}
	if got := h.audit.what(); got != "granted code-exchanged token-refreshed token-refreshed" {
		t.Errorf("recorded: %s", got)
	}
}

func TestAppsWithoutOfflineOrOnlineAccessGetNoRefreshToken(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	if got := h.token(exchange(h.code(nil), nil)); got.body["refresh_token"] != nil {
		t.Errorf("answer %s", got.raw)
	}
}

func TestRefreshTokensLastThreeMonthsFromEachUse(t *testing.T) {
	t.Parallel()
	for _, app := range []string{publicApp, "native"} {
		t.Run(app, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			redirect := map[string]string{publicApp: callback, "native": "com.example.app:/cb"}[app]
			got := h.token(exchange(
				h.code(func(q url.Values) {
					q.Set("scope", offlineScopes)
					q.Set("client_id", app)
					q.Set("redirect_uri", redirect)
				}),
				func(f url.Values) { f.Set("client_id", app); f.Set("redirect_uri", redirect) }))
			for range 8 { // two years
				h.advance(92*day - time.Second)
				got = h.token(refreshWith(got.text("refresh_token"), func(f url.Values) { f.Set("client_id", app) }))
				if got.status != http.StatusOK {
					t.Fatalf("after three months less a second: %d %s", got.status, got.raw)
				}
			}
			h.advance(92 * day)
			h.token(refreshWith(got.text("refresh_token"), func(f url.Values) { f.Set("client_id", app) })).wantError(t, 400, "invalid_grant")
		})
	}
}

func TestOnlineAccessEndsWithTheSession(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) { o.SessionTTL = 3 * time.Hour })
	got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", "online_access patient/Observation.rs") }), nil))
	for range 2 {
		h.advance(time.Hour)
		if got = h.token(refreshWith(got.text("refresh_token"), nil)); got.status != http.StatusOK || got.text("scope") != "online_access patient/Observation.rs" {
			t.Fatalf("while online: %d %s", got.status, got.raw)
		}
	}
	h.advance(30 * time.Minute)
	if got = h.token(refreshWith(got.text("refresh_token"), nil)); got.body["expires_in"] != float64(1800) {
		t.Errorf("an access token must not outlive the session: %s", got.raw)
	}
	h.advance(30 * time.Minute)
	h.token(refreshWith(got.text("refresh_token"), nil)).wantError(t, 400, "invalid_grant")
	if _, ok := h.good(got.text("access_token")); ok {
		t.Error("the access token outlived the session")
	}
}

func TestGrantLifetimeBoundsWhatRefreshGives(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) { o.GrantTTL = 100 * day })
	got := h.offline()
	for range 2 {
		h.advance(45 * day)
		got = h.token(refreshWith(got.text("refresh_token"), nil))
	}
	h.advance(10 * day)
	h.token(refreshWith(got.text("refresh_token"), nil)).wantError(t, 400, "invalid_grant")
}

func TestReusedRefreshTokenEndsTheWholeFamily(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	first := h.offline()
	second := h.token(refreshWith(first.text("refresh_token"), nil))
	third := h.token(refreshWith(second.text("refresh_token"), nil))
	other := h.offline()
	h.token(refreshWith(first.text("refresh_token"), nil)).wantError(t, 400, "invalid_grant")
	for i, a := range []answer{first, second, third} {
		if _, ok := h.good(a.text("access_token")); ok {
			t.Errorf("access token %d is still good", i)
		}
	}
	h.token(refreshWith(third.text("refresh_token"), nil)).wantError(t, 400, "invalid_grant")
	if got := h.token(refreshWith(other.text("refresh_token"), nil)); got.status != http.StatusOK {
		t.Errorf("another family is hurt: %s", got.raw)
	}
	if !strings.Contains(h.audit.what(), "refresh-replayed") {
		t.Errorf("recorded: %s", h.audit.what())
	}
}

func TestFiftyRefreshesAtOnceGiveOneAnswerAtMost(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	first := h.offline()
	answers := make([]answer, 50)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = h.token(refreshWith(first.text("refresh_token"), nil)) })
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusOK {
			won++
			if _, ok := h.good(a.text("access_token")); ok {
				t.Error("what the winner got is good after a replay")
			}
			continue
		}
		a.wantError(t, 400, "invalid_grant")
	}
	if won > 1 {
		t.Errorf("%d answers with tokens, want one at most", won)
	}
	if n := len(h.tokens.Grants()); n != 0 {
		t.Errorf("%d grants are left", n)
	}
}

func TestRefreshNarrowsAndNeverWidens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, scope, want, err string }{
		{"less", "openid patient/Observation.rs", "openid patient/Observation.rs", ""},
		{"fewer letters", "patient/Observation.r", "patient/Observation.r", ""},
		{"a part of a type", "patient/Observation.rs?category=a|b", "patient/Observation.rs?category=a|b", ""},
		{"the same in another syntax", "patient/Condition.rs", "patient/Condition.rs", ""},
		{"another type", "patient/Observation.rs patient/Procedure.rs", "", "invalid_scope"},
		{"every type", "patient/*.rs", "", "invalid_scope"},
		{"more letters", "patient/Observation.cruds", "", "invalid_scope"},
		{"another level", "user/Observation.rs", "", "invalid_scope"},
		{"another name", "openid profile", "", "invalid_scope"},
		{"malformed", "patient/Observation.sr", "", "invalid_scope"},
		{"unknown", "email", "", "invalid_scope"},
		{"a quote", `"`, "", "invalid_scope"},
		{"spaces", "  ", "", "invalid_scope"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			first := h.offline()
			got := h.token(refreshWith(first.text("refresh_token"), func(f url.Values) { f.Set("scope", c.scope) }))
			if c.err != "" {
				got.wantError(t, 400, c.err)
				// A mistake costs nothing: the token is as good as before.
				got = h.token(refreshWith(first.text("refresh_token"), nil))
				if got.status != http.StatusOK || got.text("scope") != offlineScopes {
					t.Errorf("after a mistake: %d %s", got.status, got.raw)
				}
				return
			}
			if got.text("scope") != c.want || got.text("refresh_token") == "" || (got.text("id_token") != "") != strings.Contains(c.want, "openid") {
				t.Errorf("answer %s", got.raw)
			}
			// What can be refreshed stays (RFC 6749 §6).
			if got = h.token(refreshWith(got.text("refresh_token"), nil)); got.text("scope") != offlineScopes {
				t.Errorf("the next refresh gives %s", got.raw)
			}
		})
	}
}

func TestRefusedRefreshes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(f url.Values)
		status int
		code   string
		ends   bool // the grant
	}{
		{"no token", func(f url.Values) { f.Del("refresh_token") }, 400, "invalid_request", false},
		{"an unknown token", func(f url.Values) { f.Set("refresh_token", "x") }, 400, "invalid_grant", false},
		{"twice", func(f url.Values) { f.Add("refresh_token", "x") }, 400, "invalid_request", false},
		{"an unknown client", func(f url.Values) { f.Set("client_id", "nobody") }, 401, "invalid_client", false},
		{"no client", func(f url.Values) { f.Del("client_id") }, 401, "invalid_client", false},
		{"another app's", func(f url.Values) { f.Set("client_id", "native") }, 400, "invalid_grant", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			first := h.offline()
			h.token(refreshWith(first.text("refresh_token"), c.change)).wantError(t, c.status, c.code)
			if _, ok := h.good(first.text("access_token")); ok == c.ends {
				t.Errorf("access is good: %v", ok)
			}
		})
	}
	h := start(t, nil)
	first := h.offline()
	h.token(refreshWith(first.text("access_token"), nil)).wantError(t, 400, "invalid_grant")
	h.call(h.request(http.MethodPost, "/oauth/token?refresh_token=x", refreshWith("x", nil))).wantError(t, 400, "invalid_request")
}

func TestRevokedGrantsDoNotRefresh(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	first := h.offline()
	for _, g := range h.tokens.Grants() {
		if err := h.tokens.RevokeGrant(t.Context(), g.ID, h.Now()); err != nil {
			t.Fatal(err)
		}
	}
	h.token(refreshWith(first.text("refresh_token"), nil)).wantError(t, 400, "invalid_grant")
}

// A client that we did not write refreshes by itself.
func TestStandardClientsRefresh(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ id, secret string }{{publicApp, ""}, {secretApp, secretText}} {
		h := start(t, nil)
		provider, err := oidc.NewProvider(t.Context(), h.base)
		if err != nil {
			t.Fatal(err)
		}
		app := oauth2.Config{ClientID: c.id, ClientSecret: c.secret, Endpoint: provider.Endpoint(), RedirectURL: callback}
		app.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
		if c.secret == "" {
			app.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		}
		code := h.code(func(q url.Values) { q.Set("scope", offlineScopes); q.Set("client_id", c.id) })
		got, err := app.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			got.Expiry = time.Now().Add(-time.Hour)
			next, err := app.TokenSource(t.Context(), got).Token()
			if err != nil {
				t.Fatal(err)
			}
			if next.RefreshToken == got.RefreshToken || next.AccessToken == got.AccessToken || next.Extra("patient") != "p1" {
				t.Errorf("refreshed: %+v", next)
			}
			got = next
		}
	}
}

// narrowApp is registered without offline access.
func TestClientsThatMayNotHaveOfflineAccessDoNotGetIt(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	if !slices.ContainsFunc(clients(), func(c client.Client) bool { return c.ID == "narrow" }) {
		t.Fatal("the fixture is gone")
	}
	got := h.token(exchange(
		h.code(func(q url.Values) {
			q.Set("client_id", "narrow")
			q.Set("scope", "offline_access patient/Observation.rs")
		}),
		func(f url.Values) { f.Set("client_id", "narrow") }))
	if got.text("scope") != "patient/Observation.rs" || got.body["refresh_token"] != nil {
		t.Errorf("answer %s", got.raw)
	}
}

func TestSigningOutEndsOnlineAccessAndNotOfflineAccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scope string
		good  bool
	}{
		{"online_access patient/Observation.rs", false},
		{"offline_access patient/Observation.rs", true},
		{"online_access offline_access patient/Observation.rs", true},
	} {
		h := start(t, nil)
		got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", c.scope) }), nil))
		h.people.set(func(p *people) { p.signedOut = []string{"ana"} })
		again := h.token(refreshWith(got.text("refresh_token"), nil))
		if (again.status == http.StatusOK) != c.good {
			t.Errorf("%s: %d %s", c.scope, again.status, again.raw)
		}
		if !c.good {
			again.wantError(t, 400, "invalid_grant")
			if _, ok := h.good(got.text("access_token")); ok {
				t.Errorf("%s: the access token is still good", c.scope)
			}
		}
	}
}

// brokenRefresh is a store of refresh tokens of which one step fails.
type brokenRefresh struct {
	token.RefreshStore
	step string
}

func (b *brokenRefresh) Refresh(ctx context.Context, d token.Digest, now time.Time) (token.Refresh, token.Grant, error) {
	if b.step == "look" {
		return token.Refresh{}, token.Grant{}, errDisk
	}
	return b.RefreshStore.Refresh(ctx, d, now)
}

func (b *brokenRefresh) UseRefresh(ctx context.Context, d token.Digest, now time.Time) (token.Grant, error) {
	if b.step == "use" {
		return token.Grant{}, errDisk
	}
	return b.RefreshStore.UseRefresh(ctx, d, now)
}

func (b *brokenRefresh) CreateRefresh(ctx context.Context, grant string, r token.Refresh) error {
	if b.step == "create" {
		return errDisk
	}
	return b.RefreshStore.CreateRefresh(ctx, grant, r)
}

func TestRefreshingWithBrokenPartsGivesNothingAway(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"look", "use", "create", "record", "sessions"} {
		var parts *brokenRefresh
		h := start(t, func(h *harness, o *authz.Options) {
			parts = &brokenRefresh{RefreshStore: h.tokens}
			o.Refresh, o.Singles = parts, h.tokens
		})
		got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", "online_access patient/Observation.rs") }), nil))
		parts.step = step
		switch step {
		case "record":
			h.audit.fail(errDisk)
		case "sessions":
			h.people.set(func(p *people) { p.err = errDisk })
		}
		a := h.token(refreshWith(got.text("refresh_token"), nil))
		a.wantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
		if strings.Contains(a.raw, "disk") || a.body["refresh_token"] != nil {
			t.Errorf("%s: %s", step, a.raw)
		}
		// What is not used up yet is good when the part is back.
		parts.step = ""
		h.people.set(func(p *people) { p.err = nil })
		h.audit.fail(nil)
		again := h.token(refreshWith(got.text("refresh_token"), nil))
		if used := step == "create" || step == "record"; (again.status == http.StatusOK) == used {
			t.Errorf("%s: afterwards %d %s", step, again.status, again.raw)
		}
	}
}

// shrinking is a registry in which an app's scopes can be taken away.
type shrinking struct {
	client.Registry
	scopes string
}

func (s *shrinking) Client(ctx context.Context, id string) (client.Client, error) {
	c, err := s.Registry.Client(ctx, id)
	c.Scopes = s.scopes
	return c, err
}

func TestRefreshGivesNoMoreThanTheAppIsRegisteredForNow(t *testing.T) {
	t.Parallel()
	var apps *shrinking
	h := start(t, func(_ *harness, o *authz.Options) {
		apps = &shrinking{Registry: o.Clients}
		o.Clients = apps
	})
	got := h.offline()
	apps.scopes = "openid offline_access patient/Observation.r patient/Condition.rs"
	got = h.token(refreshWith(got.text("refresh_token"), nil))
	if got.text("scope") != "openid fhirUser launch/patient offline_access patient/Condition.read" {
		t.Errorf("scope %s", got.raw)
	}
	apps.scopes = "patient/Procedure.rs"
	h.token(refreshWith(got.text("refresh_token"), func(f url.Values) { f.Set("scope", "patient/Observation.rs") })).wantError(t, 400, "invalid_scope")
	// Nor does it stay connected, whatever else is left.
	apps.scopes = "openid patient/Observation.rs patient/Condition.rs"
	for _, asked := range []string{"", "patient/Observation.rs"} {
		h.token(refreshWith(got.text("refresh_token"), func(f url.Values) { f.Set("scope", asked) })).wantError(t, 400, "invalid_scope")
	}
	// Nothing was used up, and what is given back is there again.
	apps.scopes = ""
	if got = h.token(refreshWith(got.text("refresh_token"), nil)); got.text("scope") != offlineScopes {
		t.Errorf("scope %s", got.raw)
	}
}
