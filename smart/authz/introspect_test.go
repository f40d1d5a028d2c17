package authz_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/client"
)

const resourceServer = "resource-server"

// startWithResourceServer has, besides the rest, clients that may ask about
// everybody's tokens.
func startWithResourceServer(t *testing.T) *harness {
	t.Helper()
	return startWithKeys(t, func(_ *harness, o *authz.Options) {
		keyed := keyClients()
		keyed[2].Introspects = true // "wide"
		registry, err := client.NewStatic(client.Options{Clients: append(append(clients(), keyed...), client.Client{
			ID: resourceServer, Name: "FHIR server", Auth: client.SecretBasic, SecretSHA256: digest(secretText), RedirectURIs: []string{callback}, Introspects: true,
		})})
		if err != nil {
			t.Fatal(err)
		}
		o.Clients = registry
	})
}

// ask calls an endpoint about a token, with an Authorization header when there
// is one.
func (h *harness) about(path, authorization string, form url.Values) answer {
	req := h.request(http.MethodPost, path, form)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return h.call(req)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// granted gives an app everything, with offline access.
func (h *harness) granted(id, secret string) answer {
	h.t.Helper()
	code := h.code(func(q url.Values) { q.Set("scope", offlineScopes); q.Set("client_id", id) })
	got := h.token(exchange(code, func(f url.Values) {
		f.Set("client_id", id)
		if secret != "" {
			f.Set("client_secret", secret)
		}
	}))
	if got.status != http.StatusOK {
		h.t.Fatalf("%d %s", got.status, got.raw)
	}
	return got
}

func TestIntrospectionSaysWhatTheTokenResponseSaid(t *testing.T) {
	t.Parallel()
	h := startWithResourceServer(t)
	got := h.granted(secretApp, secretText)
	id := claimsOf(t, got.text("id_token"))
	want := map[string]any{
		"active": true, "scope": offlineScopes, "client_id": secretApp, "token_type": "Bearer", "aud": h.base + "/fhir/demo",
		"exp": float64(h.Now().Add(time.Hour).Unix()), "iat": float64(h.Now().Unix()),
		"iss": id["iss"], "sub": id["sub"], "fhirUser": id["fhirUser"], "patient": "p1",
	}
	for name, authorization := range map[string]string{
		"its own client": basic(secretApp, secretText), "a resource server": basic(resourceServer, secretText), "itself": "Bearer " + got.text("access_token"),
	} {
		a := h.about("/oauth/introspect", authorization, url.Values{"token": {got.text("access_token")}, "token_type_hint": {"refresh_token"}})
		if d := cmp.Diff(want, a.body); a.status != http.StatusOK || d != "" {
			t.Errorf("%s: %d (-want +got)\n%s", name, a.status, d)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", name, a.header)
		}
		a = h.about("/oauth/introspect", authorization, url.Values{"token": {got.text("refresh_token")}})
		if a.body["active"] != true || a.text("client_id") != secretApp || a.body["token_type"] != nil || a.body["exp"] != float64(h.Now().Add(92*day).Unix()) {
			t.Errorf("%s: the refresh token: %s", name, a.raw)
		}
	}
	// Narrowed, it has what it has.
	narrow := h.token(refreshWith(got.text("refresh_token"), func(f url.Values) {
		f.Set("client_id", secretApp)
		f.Set("client_secret", secretText)
		f.Set("scope", "patient/Observation.rs")
	}))
	a := h.about("/oauth/introspect", basic(secretApp, secretText), url.Values{"token": {narrow.text("access_token")}})
	if a.text("scope") != "patient/Observation.rs" || a.body["sub"] != nil || a.body["fhirUser"] != nil || a.text("patient") != "p1" {
		t.Errorf("narrowed: %s", a.raw)
	}
}

func TestIntrospectionOfWhatIsNotGoodSaysNothing(t *testing.T) {
	t.Parallel()
	h := startWithResourceServer(t)
	own := h.granted(secretApp, secretText)
	foreign := h.granted(publicApp, "")
	service := h.service(h.assertion("wide", nil), nil)
	rotated := h.granted(secretApp, secretText)
	h.token(refreshWith(rotated.text("refresh_token"), func(f url.Values) { f.Set("client_id", secretApp); f.Set("client_secret", secretText) }))
	elsewhere := h.service(h.assertion("wide", nil), func(f url.Values) { f.Set("resource", h.base+"/fhir/other") })
	for _, c := range []struct{ name, authorization, token string }{
		{"unknown", basic(resourceServer, secretText), "invalid_token_value"},
		{"another app's access token", basic(secretApp, secretText), foreign.text("access_token")},
		{"another app's refresh token", basic(secretApp, secretText), foreign.text("refresh_token")},
		{"a service's", basic(secretApp, secretText), service.text("access_token")},
		{"by a token of another grant", "Bearer " + own.text("access_token"), rotated.text("access_token")},
		{"a used refresh token", basic(resourceServer, secretText), rotated.text("refresh_token")},
		{"by a service's token for another source", "Bearer " + elsewhere.text("access_token"), own.text("access_token")},
	} {
		a := h.about("/oauth/introspect", c.authorization, url.Values{"token": {c.token}})
		if a.status != http.StatusOK || a.raw != `{"active":false}` {
			t.Errorf("%s: %d %s", c.name, a.status, a.raw)
		}
	}
	// A service that may, may.
	a := h.about("/oauth/introspect", "Bearer "+service.text("access_token"), url.Values{"token": {own.text("access_token")}})
	if a.body["active"] != true || a.text("client_id") != secretApp {
		t.Errorf("by a service: %s", a.raw)
	}
	a = h.about("/oauth/introspect", basic(resourceServer, secretText), url.Values{"token": {service.text("access_token")}})
	if a.body["active"] != true || a.text("sub") != "wide" || a.body["patient"] != nil {
		t.Errorf("of a service: %s", a.raw)
	}
	h.advance(time.Hour)
	a = h.about("/oauth/introspect", basic(resourceServer, secretText), url.Values{"token": {own.text("access_token")}})
	if a.raw != `{"active":false}` {
		t.Errorf("expired: %s", a.raw)
	}
}

func TestRefusedIntrospections(t *testing.T) {
	t.Parallel()
	h := startWithResourceServer(t)
	got := h.granted(publicApp, "")
	form := func(change func(f url.Values)) url.Values {
		f := url.Values{"token": {got.text("access_token")}}
		if change != nil {
			change(f)
		}
		return f
	}
	set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	for _, c := range []struct {
		name, authorization string
		change              func(f url.Values)
		status              int
		code, challenge     string
	}{
		{"nobody", "", nil, 401, "invalid_client", ""},
		{"a public client", "", set("client_id", publicApp), 401, "invalid_client", "Bearer"},
		{"a wrong secret", basic(secretApp, "guess"), nil, 401, "invalid_client", "Basic"},
		{"an unknown bearer token", "Bearer " + strings.Repeat("A", 43), nil, 401, "invalid_token", `error="invalid_token"`},
		{"a refresh token as bearer", "Bearer " + got.text("refresh_token"), nil, 401, "invalid_token", `error="invalid_token"`},
		{"an empty bearer token", "Bearer ", nil, 401, "invalid_token", `error="invalid_token"`},
		{"a bearer token and a secret", "Bearer " + got.text("access_token"), set("client_secret", "x"), 400, "invalid_request", ""},
		{"another scheme", "Digest x", nil, 401, "invalid_client", "Basic"},
		{"no token", basic(secretApp, secretText), func(f url.Values) { f.Del("token") }, 400, "invalid_request", ""},
		{"two tokens", basic(secretApp, secretText), func(f url.Values) { f.Add("token", "x") }, 400, "invalid_request", ""},
	} {
		a := h.about("/oauth/introspect", c.authorization, form(c.change))
		a.wantError(t, c.status, c.code)
		if !strings.Contains(a.header.Get("WWW-Authenticate"), c.challenge) {
			t.Errorf("%s: challenge %q", c.name, a.header.Get("WWW-Authenticate"))
		}
	}
	h.call(h.request(http.MethodGet, "/oauth/introspect?token=x", nil)).wantError(t, 405, "invalid_request")
	h.about("/oauth/introspect?token=x", basic(secretApp, secretText), url.Values{}).wantError(t, 400, "invalid_request")
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, token    string // which of the answer
		access, others bool   // still good: the access token, and the refresh token
	}{
		{"an access token goes alone", "access_token", false, true},
		{"a refresh token takes all with it", "refresh_token", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := startWithResourceServer(t)
			got, other := h.granted(publicApp, ""), h.granted(publicApp, "")
			for range 2 { // a second time it is unknown, which is no error
				a := h.about("/oauth/revoke", "", url.Values{"client_id": {publicApp}, "token": {got.text(c.token)}, "token_type_hint": {"pigeon"}})
				if a.status != http.StatusOK || a.header.Get("Access-Control-Allow-Origin") != "*" {
					t.Fatalf("%d %s", a.status, a.raw)
				}
			}
			if _, ok := h.good(got.text("access_token")); ok != c.access {
				t.Errorf("the access token is good: %v", ok)
			}
			if _, ok := h.good(other.text("access_token")); !ok {
				t.Error("another grant is hurt")
			}
			a := h.token(refreshWith(got.text("refresh_token"), nil))
			if (a.status == http.StatusOK) != c.others {
				t.Errorf("refresh: %d %s", a.status, a.raw)
			}
		})
	}
}

func TestRefusedRevocations(t *testing.T) {
	t.Parallel()
	h := startWithResourceServer(t)
	got := h.granted(secretApp, secretText)
	for _, kind := range []string{"access_token", "refresh_token"} {
		h.about("/oauth/revoke", "", url.Values{"client_id": {publicApp}, "token": {got.text(kind)}}).wantError(t, 400, "invalid_grant")
		h.about("/oauth/revoke", basic(resourceServer, secretText), url.Values{"token": {got.text(kind)}}).wantError(t, 400, "invalid_grant")
		h.about("/oauth/revoke", "", url.Values{"client_id": {secretApp}, "token": {got.text(kind)}}).wantError(t, 401, "invalid_client")
		h.about("/oauth/revoke", "Bearer "+got.text("access_token"), url.Values{"token": {got.text(kind)}}).wantError(t, 401, "invalid_client")
	}
	h.about("/oauth/revoke", basic(secretApp, secretText), url.Values{}).wantError(t, 400, "invalid_request")
	h.call(h.request(http.MethodGet, "/oauth/revoke", nil)).wantError(t, 405, "invalid_request")
	if _, ok := h.good(got.text("access_token")); !ok {
		t.Error("the token is gone")
	}
	if a := h.about("/oauth/revoke", basic(secretApp, secretText), url.Values{"token": {"unknown"}}); a.status != http.StatusOK {
		t.Errorf("an unknown token: %d", a.status)
	}
	// With a key, for the endpoint itself.
	a := h.about("/oauth/revoke", "", withAssertion(url.Values{"token": {"unknown"}}, h.assertion(keyApp, func(j *jwtParts) { j.claims["aud"] = h.base + "/oauth/revoke" })))
	if a.status != http.StatusOK {
		t.Errorf("with a key: %d %s", a.status, a.raw)
	}
}
