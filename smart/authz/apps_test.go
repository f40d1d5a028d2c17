package authz_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
	"github.com/portico-fhir/portico/smart/token"
)

// registeredApps adds apps in a store to the configured ones.
type registeredApps struct {
	*harness
	apps     *clienttest.Memory
	refusals *authztest.Refusals
}

const managing = "a-registration-access-token"

func startWithApps(t *testing.T) *registeredApps {
	t.Helper()
	r := &registeredApps{apps: &clienttest.Memory{}, refusals: &authztest.Refusals{}}
	d := token.DigestOf(managing)
	keyed := keyClients()[0]
	keyed.ID = "key-waits"
	for _, a := range []client.App{
		{Client: client.Client{ID: "stored", Name: "Stored", Auth: client.Public, AccessTTL: 10 * time.Minute, GrantTTL: time.Hour}, State: client.Approved, Registration: d[:]},
		{Client: client.Client{ID: "waits", Name: "Waits", Auth: client.Public}, State: client.Pending},
		{Client: client.Client{ID: "stopped", Name: "Stopped", Auth: client.SecretBasic, SecretSHA256: digest(secretText)}, State: client.Suspended},
		{Client: keyed, State: client.Pending},
	} {
		a.RedirectURIs = []string{callback}
		if err := r.apps.CreateApp(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	r.harness = startWithKeys(t, func(h *harness, o *authz.Options) {
		static, ok := o.Clients.(*client.Static)
		if !ok {
			t.Fatal("another registry")
		}
		apps, err := client.NewApps(static, r.apps)
		if err != nil {
			t.Fatal(err)
		}
		o.Clients, o.Apps, o.Refusals = apps, apps, r.refusals
		h.store = token.OfUsableClients(h.tokens, apps)
	})
	return r
}

func (r *registeredApps) setState(id string, state client.State) {
	r.t.Helper()
	a, err := r.apps.App(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	a.State = state
	if err := r.apps.UpdateApp(r.t.Context(), a); err != nil {
		r.t.Fatal(err)
	}
}

func as(id string) func(q url.Values) {
	return func(q url.Values) { q.Set("client_id", id) }
}

func TestAppsThatMayNotBeUsedGetNoFurther(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	for id, title := range map[string]string{"waits": "not approved yet", "stopped": "stopped", "nobody": "not known"} {
		got := r.browser().authorize(r.ask(as(id))).want(t, "problem")
		if !strings.Contains(got.view.Title, title) || got.location != "" || got.status < 400 {
			t.Errorf("%s: %d %q", id, got.status, got.view.Title)
		}
	}
	r.token(exchange("x", as("waits"))).wantError(t, http.StatusUnauthorized, "invalid_client")
	req := r.request(http.MethodPost, "/oauth/token", exchange("x", func(f url.Values) { f.Del("client_id") }))
	req.SetBasicAuth("stopped", url.QueryEscape(secretText))
	r.call(req).wantError(t, http.StatusUnauthorized, "invalid_client")
	r.token(withAssertion(exchange("x", nil), r.assertion("key-waits", nil))).wantError(t, http.StatusUnauthorized, "invalid_client")
}

func TestSuspensionHoldsAtOnce(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	code := r.code(as("stored"))
	got := r.token(exchange(code, as("stored")))
	bearer := got.text("access_token")
	if got.body["expires_in"] != 600.0 {
		t.Errorf("the app's own lifetime: %s", got.raw)
	}
	verifier := token.Verifier{Store: r.store, Now: r.Now}
	if _, _, _, err := verifier.Authenticate(t.Context(), bearer); err != nil {
		t.Fatal(err)
	}
	reading := r.browser().authorize(r.ask(as("stored"))).want(t, "consent")
	next := r.code(as("stored"))
	for _, state := range []client.State{client.Suspended, client.Pending} {
		r.setState("stored", state)
		if _, _, _, err := verifier.Authenticate(t.Context(), bearer); err == nil {
			t.Errorf("%s: its access token is good", state)
		}
		r.token(exchange(next, as("stored"))).wantError(t, http.StatusUnauthorized, "invalid_client")
	}
	again := r.browser()
	if got := again.post(reading.view.Action, reading.yes()); got.location != "" {
		t.Errorf("consent to a suspended app: %s", got.location)
	}
	r.setState("stored", client.Approved)
	if got := r.token(exchange(next, as("stored"))); got.status != http.StatusOK {
		t.Errorf("an attempt while it was suspended used its code up: %s", got.raw)
	}
}

func TestPersonsYesEndsWithTheAppsOwnLimit(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	page := r.browser().authorize(r.ask(func(q url.Values) {
		q.Set("client_id", "stored")
		q.Set("scope", "patient/Observation.rs offline_access")
	})).want(t, "consent")
	if want := r.Now().Add(time.Hour); !page.view.Until.Equal(want) {
		t.Errorf("the page says %v, want %v", page.view.Until, want)
	}
}

// refusal looks one up under its reference.
func (r *registeredApps) why(form url.Values, header string) answer {
	r.t.Helper()
	req := r.request(http.MethodPost, "/oauth/developer/refusals", form)
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	return r.call(req)
}

func referenceIn(t *testing.T, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil || u.Path != "/oauth/developer/refusals" || u.Query().Get("reference") == "" {
		t.Fatalf("error_uri %q, %v", uri, err)
	}
	return u.Query().Get("reference")
}

func TestDevelopersLearnWhyTheirAppWasRefused(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	basic := func(id, secret string, f url.Values) answer {
		req := r.request(http.MethodPost, "/oauth/token", f)
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		return r.call(req)
	}
	bare := func() url.Values { return exchange("x", func(f url.Values) { f.Del("client_id") }) }
	for _, c := range []struct {
		name   string
		got    answer
		reason string
	}{
		{"a bad code", r.token(exchange("x", nil)), "code"},
		{"a public client with a secret", r.token(exchange("x", func(f url.Values) { f.Set("client_secret", "s") })), "registered as public"},
		{"a wrong secret", basic(secretApp, "wrong", bare()), "secret is wrong. It was sent in the Authorization header"},
		{"no secret", r.token(exchange("x", as(secretApp))), "sent none"},
		{"a secret in place of a key", r.token(exchange("x", as(keyApp))), "private_key_jwt"},
		{"an expired assertion", r.token(withAssertion(exchange("x", nil), r.assertion(keyApp, func(j *jwtParts) { j.claims["exp"] = 1 }))), "it has expired"},
		{"another key", r.token(withAssertion(exchange("x", nil), r.assertion(keyApp, func(j *jwtParts) { j.key = theKeys().otherEC384 }))), "signature"},
		{"a suspended app", basic("stopped", secretText, bare()), "suspended"},
		{"a waiting app", r.token(exchange("x", as("waits"))), "waits for approval"},
	} {
		reference := referenceIn(t, c.got.text("error_uri"))
		found := false
		for _, id := range []string{publicApp, secretApp, keyApp, "stopped", "waits"} {
			list, err := r.refusals.Refusals(t.Context(), id, r.Now())
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				if x.Reference == reference {
					found = true
					if !strings.Contains(x.Reason, c.reason) {
						t.Errorf("%s: the reason is %q, want %q", c.name, x.Reason, c.reason)
					}
				}
			}
		}
		if !found || strings.Contains(c.got.text("error_description"), c.reason+".") && c.got.text("error") == "invalid_client" {
			t.Errorf("%s: found %v; %s", c.name, found, c.got.raw)
		}
	}
	// Nobody's: no reference.
	if got := r.token(exchange("x", as("nobody"))); got.text("error_uri") != "" {
		t.Errorf("an unknown client: %s", got.raw)
	}
}

func TestRefusalsAtTheAuthorizationEndpoint(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	got := r.browser().authorize(r.ask(func(q url.Values) { q.Del("code_challenge") }))
	reference := referenceIn(t, got.query.Get("error_uri"))
	told := r.why(url.Values{"client_id": {publicApp}, "reference": {reference}}, "")
	if !strings.Contains(told.raw, "code_challenge is missing") || !strings.Contains(told.raw, `"endpoint":"authorize"`) {
		t.Errorf("told %s", told.raw)
	}
	r.browser().authorize(r.ask(func(q url.Values) {
		q.Set("redirect_uri", "https://app.example/other?patient=ana")
	})).want(t, "problem")
	r.browser().authorize(r.ask(as("stored"))) // good
	list, err := r.refusals.Refusals(t.Context(), publicApp, r.Now())
	if err != nil || len(list) != 2 || !strings.Contains(list[0].Reason, "redirect_uri (https://app.example/other) is not registered") || list[0].Code != "page" {
		t.Errorf("%+v %v", list, err)
	}
}

func TestRefusalsAreToldToTheirAppAlone(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	mine := referenceIn(t, r.token(exchange("x", as("stored"))).text("error_uri"))
	theirs := referenceIn(t, r.token(exchange("x", as(secretApp))).text("error_uri"))
	form := func(id, reference string) url.Values {
		f := url.Values{}
		if id != "" {
			f.Set("client_id", id)
		}
		if reference != "" {
			f.Set("reference", reference)
		}
		return f
	}
	r.why(form(secretApp, theirs), "").wantError(t, http.StatusUnauthorized, "invalid_client")
	r.why(form("", theirs), "").wantError(t, http.StatusUnauthorized, "invalid_client")
	r.why(form("stored", ""), "").wantError(t, http.StatusBadRequest, "invalid_request")
	r.why(form("stored", mine), "Bearer wrong").wantError(t, http.StatusUnauthorized, "invalid_client")
	r.why(form(secretApp, theirs), "Bearer "+managing).wantError(t, http.StatusUnauthorized, "invalid_client")
	for name, c := range map[string]struct {
		got  answer
		want string // the reference, "" for none
	}{
		"by reference":                    {r.why(form("stored", mine), ""), mine},
		"by registration token":           {r.why(form("stored", ""), "Bearer "+managing), mine},
		"by secret":                       {r.why(url.Values{"client_id": {secretApp}, "client_secret": {secretText}}, ""), theirs},
		"another's reference":             {r.why(form("stored", theirs), ""), ""},
		"another's reference by a secret": {r.why(url.Values{"client_id": {secretApp}, "client_secret": {secretText}, "reference": {mine}}, ""), ""},
		"suspended, by its secret":        {r.why(url.Values{"client_id": {"stopped"}, "client_secret": {secretText}}, ""), ""},
	} {
		var body struct {
			Refusals []struct{ Reference string } `json:"refusals"`
		}
		if err := json.Unmarshal([]byte(c.got.raw), &body); err != nil || c.got.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, c.got.status, c.got.raw)
			continue
		}
		if (c.want == "") != (len(body.Refusals) == 0) || (c.want != "" && body.Refusals[0].Reference != c.want) {
			t.Errorf("%s: %s, want %q", name, c.got.raw, c.want)
		}
	}
	r.advance(24 * time.Hour)
	if got := r.why(form("stored", mine), ""); got.raw != `{"refusals":[]}` {
		t.Errorf("a day later: %s", got.raw)
	}
}

func TestKeepingRefusalsIsBounded(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	kept := 0
	for range 70 {
		if r.token(exchange("x", nil)).text("error_uri") != "" {
			kept++
		}
	}
	if kept != 60 {
		t.Errorf("%d of 70 in a minute were kept", kept)
	}
}

func TestAssertionsCanBeCheckedWithoutEffect(t *testing.T) {
	t.Parallel()
	r := startWithApps(t)
	check := func(assertion string) answer {
		return r.call(r.request(http.MethodPost, "/oauth/developer/check-assertion", url.Values{"client_assertion": {assertion}}))
	}
	spoil := func(f func(j *jwtParts)) string { return r.assertion(keyApp, f) }
	claim := func(name string, v any) string { return spoil(func(j *jwtParts) { j.claims[name] = v }) }
	for _, c := range []struct{ name, assertion, problem string }{
		{"not a JWT", "x", "no signed JWT"},
		{"no kid", spoil(func(j *jwtParts) { delete(j.header, "kid") }), "kid"},
		{"an unknown kid", spoil(func(j *jwtParts) { j.header["kid"] = "none" }), "keys fit kid"},
		{"another key", spoil(func(j *jwtParts) { j.key = theKeys().otherEC384 }), "signature"},
		{"another audience", claim("aud", "https://other.example"), "aud must be"},
		{"expired", claim("exp", 1), "expired"},
		{"too long", claim("exp", r.Now().Add(time.Hour).Unix()), "five minutes"},
		{"no jti", claim("jti", nil), "jti"},
		{"iss that is not sub", claim("sub", "other"), "iss and sub"},
		{"an unknown app", r.assertion("nobody", nil), "no app"},
		{"an app without key", r.assertion(publicApp, nil), "registered for none"},
		{"a waiting app", r.assertion("key-waits", nil), "waits for approval"},
	} {
		got := check(c.assertion)
		if got.status != http.StatusOK || got.body["ok"] != false || !strings.Contains(got.text("problem"), c.problem) || got.text("audience") != r.base+"/oauth/token" {
			t.Errorf("%s: %d %s; want %q", c.name, got.status, got.raw, c.problem)
		}
	}
	good := r.assertion(keyApp, nil)
	for range 2 {
		if got := check(good); got.body["ok"] != true || got.text("client_id") != keyApp || got.text("registration_state") != "approved" {
			t.Errorf("a good one: %s", got.raw)
		}
	}
	if got := r.token(withAssertion(exchange("x", nil), good)); got.text("error") != "invalid_grant" {
		t.Errorf("checking used the assertion up: %s", got.raw)
	}
	r.call(r.request(http.MethodPost, "/oauth/developer/check-assertion", url.Values{"a": {"b"}})).wantError(t, http.StatusBadRequest, "invalid_request")
	for range 30 {
		check("x")
	}
	check("x").wantError(t, http.StatusTooManyRequests, "temporarily_unavailable")
	r.advance(time.Minute)
	if got := check("x"); got.status != http.StatusOK {
		t.Errorf("a minute later: %d", got.status)
	}
}
