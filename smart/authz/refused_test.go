package authz_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/client"
)

// Errors that must not reach any app: who asks, or where to answer, is not
// proven (RFC 6749 §4.1.2.1).
func TestUnprovenRequestsEndOnAPage(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	for _, c := range []struct {
		name   string
		change func(q url.Values)
		title  string
	}{
		{"no client", func(q url.Values) { q.Del("client_id") }, "This app is not known here"},
		{"unknown client", func(q url.Values) { q.Set("client_id", "nobody") }, "This app is not known here"},
		{"client twice", func(q url.Values) { q.Add("client_id", publicApp) }, "This request cannot be understood"},
		{"no redirect", func(q url.Values) { q.Del("redirect_uri") }, "This app cannot be answered"},
		{"redirect twice", func(q url.Values) { q.Add("redirect_uri", callback) }, "This request cannot be understood"},
		{"redirect twice, one of them evil", func(q url.Values) { q.Add("redirect_uri", "https://evil.example/") }, "This request cannot be understood"},
		{"redirect of another host", func(q url.Values) { q.Set("redirect_uri", "https://evil.example/cb") }, "This app cannot be answered"},
		{"redirect with another query", func(q url.Values) { q.Set("redirect_uri", callback+"&x=1") }, "This app cannot be answered"},
		{"redirect without its query", func(q url.Values) { q.Set("redirect_uri", "https://app.example/cb") }, "This app cannot be answered"},
		{"redirect with another spelling", func(q url.Values) { q.Set("redirect_uri", "https://app.example/cb?keep=1+2") }, "This app cannot be answered"},
		{"redirect with a fragment", func(q url.Values) { q.Set("redirect_uri", callback+"#f") }, "This app cannot be answered"},
		{"redirect of another client", func(q url.Values) { q.Set("redirect_uri", "com.example.app:/cb") }, "This app cannot be answered"},
		{"redirect to a script", func(q url.Values) { q.Set("redirect_uri", "javascript:alert(1)") }, "This app cannot be answered"},
		{"redirect with user info", func(q url.Values) { q.Set("redirect_uri", "https://app.example@evil.example/cb?keep=1%202") }, "This app cannot be answered"},
		{"redirect with path tricks", func(q url.Values) { q.Set("redirect_uri", "https://app.example/cb/../cb?keep=1%202") }, "This app cannot be answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := h.browser().authorize(h.ask(c.change)).want(t, "problem")
			if got.status != http.StatusBadRequest || got.view.Title != c.title {
				t.Errorf("%d %q, want 400 %q", got.status, got.view.Title, c.title)
			}
		})
	}
	for _, raw := range []string{"client_id=%zz", "%zz=1"} {
		if got := h.browser().get("/oauth/authorize?"+raw).want(t, "problem"); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", raw, got.status)
		}
	}
	req := h.request(http.MethodPost, "/oauth/authorize", h.ask(nil))
	req.Header.Set("Content-Type", "application/json")
	if got := h.browser().do(req).want(t, "problem"); got.status != http.StatusBadRequest {
		t.Errorf("a post that is no form: %d", got.status)
	}
	if got := h.browser().post("/oauth/authorize", h.ask(func(q url.Values) { q.Set("x", strings.Repeat("x", 70000)) })).want(t, "problem"); got.status != http.StatusBadRequest {
		t.Errorf("a huge post: %d", got.status)
	}
	if h.pending.Count() != 0 {
		t.Errorf("%d requests were kept", h.pending.Count())
	}
}

// One row per refused parameter, with the exact error.
func TestRefusedAuthorizeParameters(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	without := func(name string) func(url.Values) { return func(q url.Values) { q.Del(name) } }
	again := func(name, value string) func(url.Values) { return func(q url.Values) { q.Add(name, value) } }
	for _, c := range []struct {
		name   string
		change func(q url.Values)
		code   string
	}{
		{"no response_type", without("response_type"), "invalid_request"},
		{"blank response_type", set("response_type", ""), "invalid_request"},
		{"implicit", set("response_type", "token"), "unsupported_response_type"},
		{"id_token", set("response_type", "id_token"), "unsupported_response_type"},
		{"hybrid", set("response_type", "code id_token"), "unsupported_response_type"},
		{"response_type twice", again("response_type", "code"), "invalid_request"},
		{"response_mode fragment", set("response_mode", "fragment"), "invalid_request"},
		{"response_mode form_post", set("response_mode", "form_post"), "invalid_request"},
		{"no aud", without("aud"), "invalid_request"},
		{"foreign aud", set("aud", "https://inferno.healthit.gov/invalid_aud"), "invalid_request"},
		{"aud of the issuer", set("aud", h.base), "invalid_request"},
		{"aud with two slashes", set("aud", h.base+"/fhir/demo//"), "invalid_request"},
		{"aud below the base", set("aud", h.base+"/fhir/demo/Patient"), "invalid_request"},
		{"aud before the base", set("aud", h.base+"/fhir/dem"), "invalid_request"},
		{"aud in another case", set("aud", strings.ToUpper(h.base)+"/fhir/demo"), "invalid_request"},
		{"aud with a query", set("aud", h.base+"/fhir/demo?"), "invalid_request"},
		{"aud twice, one good one evil", again("aud", "https://evil.example"), "invalid_request"},
		{"no code_challenge", without("code_challenge"), "invalid_request"},
		{"blank code_challenge", set("code_challenge", ""), "invalid_request"},
		{"short code_challenge", set("code_challenge", challenge[1:]), "invalid_request"},
		{"padded code_challenge", set("code_challenge", challenge+"="), "invalid_request"},
		{"code_challenge of another alphabet", set("code_challenge", "+"+challenge[1:]), "invalid_request"},
		{"no code_challenge_method, which means plain", without("code_challenge_method"), "invalid_request"},
		{"plain", set("code_challenge_method", "plain"), "invalid_request"},
		{"s256 in small letters", set("code_challenge_method", "s256"), "invalid_request"},
		{"S512", set("code_challenge_method", "S512"), "invalid_request"},
		{"code_challenge twice", again("code_challenge", challenge), "invalid_request"},
		{"code_challenge_method twice, downgraded", again("code_challenge_method", "plain"), "invalid_request"},
		{"no scope", without("scope"), "invalid_scope"},
		{"blank scope", set("scope", " "), "invalid_scope"},
		{"scope with nothing to grant", set("scope", "offline_access system/*.read launch launch/encounter patient/Observation.write email"), "invalid_scope"},
		{"scope with a quote", set("scope", `openid "patient/*.rs"`), "invalid_scope"},
		{"scope with a line break", set("scope", "openid\npatient/*.rs"), "invalid_scope"},
		{"scope twice", again("scope", "openid"), "invalid_request"},
		{"request object", set("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"},
		{"request_uri", set("request_uri", "https://app.example/request"), "request_uri_not_supported"},
		{"registration", set("registration", "{}"), "registration_not_supported"},
		{"launch of nobody", set("launch", "xyz"), "invalid_request"},
		{"prompt=none, nobody signed in", set("prompt", "none"), "login_required"},
		{"prompt=none with another", set("prompt", "none login"), "invalid_request"},
		{"prompt=none with another before it", set("prompt", "login none"), "invalid_request"},
		{"unknown prompt", set("prompt", "create"), "invalid_request"},
		{"max_age that is no number", set("max_age", "soon"), "invalid_request"},
		{"login_hint without end", set("login_hint", strings.Repeat("x", 321)), "invalid_request"},
		{"login_hint with a control character", set("login_hint", "a\x00"), "invalid_request"},
		{"login_hint that is no text", set("login_hint", "\xff"), "invalid_request"},
		{"login_hint twice", func(q url.Values) { q["login_hint"] = []string{"a", "b"} }, "invalid_request"},
		{"acr_values without end", set("acr_values", strings.Repeat("x", 321)), "invalid_request"},
		{"acr_values with a line break", set("acr_values", "a\nb"), "invalid_request"},
		{"negative max_age", set("max_age", "-1"), "invalid_request"},
		{"max_age beyond measure", set("max_age", "99999999999999999999"), "invalid_request"},
		{"nonce that is no text", set("nonce", "\xff"), "invalid_request"},
		{"nonce with a control character", set("nonce", "a\x00"), "invalid_request"},
		{"nonce twice", again("nonce", "n2"), "invalid_request"},
		{"state without end", set("state", strings.Repeat("s", 4097)), "invalid_request"},
		{"nonce without end", set("nonce", strings.Repeat("n", 1025)), "invalid_request"},
		{"scope without end", set("scope", "openid"+strings.Repeat(" patient/Observation.rs", 400)), "invalid_request"},
		{"an unknown parameter twice", func(q url.Values) { q["x"] = []string{"1", "2"} }, "invalid_request"},
		{"a blank parameter twice", func(q url.Values) { q["x"] = []string{"", ""} }, "invalid_request"},
		{"client of another source", set("client_id", "elsewhere"), "unauthorized_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := h.browser().authorize(h.ask(c.change))
			got.wantError(t, c.code)
			sent := h.ask(c.change).Get("state") // the app may know its own, whatever is wrong
			if got.query.Get("state") != sent || got.query.Get("iss") != h.base || got.query.Get("keep") != "1 2" {
				t.Errorf("answer %v", got.query)
			}
		})
	}
	// A state that stands twice is none.
	got := h.browser().authorize(h.ask(again("state", "other")))
	got.wantError(t, "invalid_request")
	if got.query.Has("state") {
		t.Errorf("state %q of two", got.query.Get("state"))
	}
	// In the URL and in the body is twice as well.
	got = h.browser().post("/oauth/authorize?scope=openid", h.ask(nil))
	got.wantError(t, "invalid_request")
	if n := h.pending.Count(); n != 0 {
		t.Errorf("%d requests were kept", n)
	}
}

func TestPromptNoneOfSomebodySignedInAsksForConsent(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	b.authorize(h.ask(nil)).want(t, "consent")
	b.authorize(h.ask(func(q url.Values) { q.Set("prompt", "none") })).wantError(t, "consent_required")
}

func TestAudienceTakesATrailingSlash(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(func(q url.Values) { q.Set("aud", h.base+"/fhir/demo/") })
	got := h.token(exchange(code, nil))
	if g, ok := h.good(got.text("access_token")); !ok || g.Source != "demo" {
		t.Errorf("grant %+v %v", g, ok)
	}
}

func TestRefusedTokenRequests(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	without := func(name string) func(url.Values) { return func(f url.Values) { f.Del(name) } }
	again := func(name string) func(url.Values) { return func(f url.Values) { f.Add(name, f.Get(name)) } }
	for _, c := range []struct {
		name   string
		change func(f url.Values)
		status int
		code   string
	}{
		{"no grant_type", without("grant_type"), 400, "invalid_request"},
		{"unknown grant_type", set("grant_type", "password"), 400, "unsupported_grant_type"},
		{"client_credentials without a key", set("grant_type", "client_credentials"), 400, "unauthorized_client"},
		{"password", set("grant_type", "password"), 400, "unsupported_grant_type"},
		{"grant_type twice", again("grant_type"), 400, "invalid_request"},
		{"no client", without("client_id"), 401, "invalid_client"},
		{"unknown client", set("client_id", "nobody"), 401, "invalid_client"},
		{"client twice", again("client_id"), 400, "invalid_request"},
		{"public client with a secret", set("client_secret", "guess"), 401, "invalid_client"},
		{"confidential client without secret", set("client_id", secretApp), 401, "invalid_client"},
		{"client assertion", set("client_assertion", "x.y.z"), 401, "invalid_client"},
		{"client assertion type alone", set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), 401, "invalid_client"},
		{"no code", without("code"), 400, "invalid_request"},
		{"blank code", set("code", ""), 400, "invalid_request"},
		{"unknown code", set("code", "BAD_CODE"), 400, "invalid_grant"},
		{"code twice", again("code"), 400, "invalid_request"},
		{"no redirect_uri", without("redirect_uri"), 400, "invalid_request"},
		{"another redirect_uri of the client", set("redirect_uri", "https://app.example/second"), 400, "invalid_grant"},
		{"another redirect_uri", set("redirect_uri", "https://evil.example/"), 400, "invalid_grant"},
		{"redirect_uri twice", again("redirect_uri"), 400, "invalid_request"},
		{"no code_verifier", without("code_verifier"), 400, "invalid_request"},
		{"blank code_verifier", set("code_verifier", ""), 400, "invalid_request"},
		{"wrong code_verifier", set("code_verifier", strings.Repeat("a", 43)), 400, "invalid_grant"},
		{"code_verifier that is the challenge", set("code_verifier", challenge), 400, "invalid_grant"},
		{"short code_verifier", set("code_verifier", verifier[1:]), 400, "invalid_grant"},
		{"long code_verifier", set("code_verifier", strings.Repeat("a", 129)), 400, "invalid_grant"},
		{"code_verifier with other characters", set("code_verifier", verifier+"="), 400, "invalid_grant"},
		{"code_verifier twice", again("code_verifier"), 400, "invalid_request"},
		{"an unknown parameter twice", func(f url.Values) { f["x"] = []string{"1", "1"} }, 400, "invalid_request"},
		{"another public client", func(f url.Values) { f.Set("client_id", "native") }, 400, "invalid_grant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := h.token(exchange(h.code(nil), c.change))
			got.wantError(t, c.status, c.code)
			if got.header.Get("WWW-Authenticate") != "" {
				t.Error("a challenge, though Basic was not used")
			}
		})
	}
}

func TestRefusedWaysToCallTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(nil)

	req := h.request(http.MethodGet, "/oauth/token?"+exchange(code, nil).Encode(), nil)
	got := h.call(req)
	got.wantError(t, http.StatusMethodNotAllowed, "invalid_request")
	if got.header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("Allow: %s", got.header.Get("Allow"))
	}

	req = h.request(http.MethodPost, "/oauth/token?client_id="+publicApp, exchange(code, func(f url.Values) { f.Del("client_id") }))
	h.call(req).wantError(t, http.StatusBadRequest, "invalid_request")

	for _, kind := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x"} {
		req = h.request(http.MethodPost, "/oauth/token", exchange(code, nil))
		req.Header.Set("Content-Type", kind)
		h.call(req).wantError(t, http.StatusBadRequest, "invalid_request")
	}

	req = h.request(http.MethodPost, "/oauth/token", exchange(code, func(f url.Values) { f.Set("x", strings.Repeat("x", 70000)) }))
	h.call(req).wantError(t, http.StatusRequestEntityTooLarge, "invalid_request")

	// None of these used the code up.
	if got := h.token(exchange(code, nil)); got.status != http.StatusOK {
		t.Errorf("the code is spent: %s", got.raw)
	}
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	encoded := func(req *http.Request, id, secret string) {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	for _, c := range []struct {
		name   string
		auth   func(req *http.Request)
		change func(f url.Values)
		status int
		code   string // "": it works
	}{
		{"unknown client", func(r *http.Request) { encoded(r, "BAD_CLIENT_ID", secretText) }, nil, 401, "invalid_client"},
		{"wrong secret", func(r *http.Request) { encoded(r, secretApp, "wrong") }, nil, 401, "invalid_client"},
		{"no secret", func(r *http.Request) { encoded(r, secretApp, "") }, nil, 401, "invalid_client"},
		{"public client with a secret", func(r *http.Request) { encoded(r, publicApp, "x") }, nil, 401, "invalid_client"},
		{"broken Basic", func(r *http.Request) { r.Header.Set("Authorization", "Basic !!") }, nil, 401, "invalid_client"},
		{"another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, nil, 401, "invalid_client"},
		{"two headers", func(r *http.Request) { encoded(r, secretApp, secretText); r.Header.Add("Authorization", "Basic eDp5") }, nil, 401, "invalid_client"},
		{"secret in the body as well", func(r *http.Request) { encoded(r, secretApp, secretText) }, func(f url.Values) { f.Set("client_secret", secretText) }, 400, "invalid_request"},
		{"another client in the body", func(r *http.Request) { encoded(r, secretApp, secretText) }, func(f url.Values) { f.Set("client_id", publicApp) }, 400, "invalid_request"},

		{"as RFC 6749 §2.3.1 has it", func(r *http.Request) { encoded(r, secretApp, secretText) }, nil, 200, ""},
		{"not encoded, as many do", func(r *http.Request) { r.SetBasicAuth("plain", "a+b%c") }, nil, 200, ""},
		{"the same client in the body", func(r *http.Request) { encoded(r, secretApp, secretText) }, func(f url.Values) { f.Set("client_id", secretApp) }, 200, ""},
		{"public client without secret", func(r *http.Request) { encoded(r, publicApp, "") }, nil, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, func(_ *harness, o *authz.Options) { o.Clients = withPlain(t) })
			req := h.request(http.MethodPost, "/oauth/token", nil)
			c.auth(req)
			id, _, _ := req.BasicAuth()
			if decoded, err := url.QueryUnescape(id); err == nil && decoded == secretApp {
				id = decoded
			}
			if id != secretApp && id != "plain" {
				id = publicApp
			}
			form := exchange(h.code(func(q url.Values) { q.Set("client_id", id) }), func(f url.Values) { f.Del("client_id") })
			if c.change != nil {
				c.change(form)
			}
			full := h.request(http.MethodPost, "/oauth/token", form)
			full.Header["Authorization"] = req.Header["Authorization"]
			got := h.call(full)
			if c.code == "" {
				if got.status != http.StatusOK {
					t.Errorf("%d %s", got.status, got.raw)
				}
				return
			}
			got.wantError(t, c.status, c.code)
			if challenged := strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic "); challenged != (c.status == 401) {
				t.Errorf("WWW-Authenticate: %q", got.header.Get("WWW-Authenticate"))
			}
		})
	}
}

// withPlain adds a client whose secret looks encoded and is not.
func withPlain(t *testing.T) client.Registry {
	t.Helper()
	registry, err := client.NewStatic(client.Options{Clients: append(clients(), client.Client{
		ID: "plain", Name: "Plain", Auth: client.SecretBasic, SecretSHA256: digest("a+b%c"), RedirectURIs: []string{callback},
	})})
	if err != nil {
		t.Fatal(err)
	}
	return registry
}
