package authz_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/smart/authz"
)

// The whole way with clients that we did not write: x/oauth2 for the flow and
// go-oidc for discovery, keys and the id_token.
func TestStandardClientsGoTheWholeWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, id, secret string
		style            oauth2.AuthStyle
	}{
		{"public", publicApp, "", oauth2.AuthStyleInParams},
		{"public, style found out by trying", publicApp, "", oauth2.AuthStyleAutoDetect},
		{"secret in the header", secretApp, secretText, oauth2.AuthStyleInHeader},
		{"secret in the body", secretApp, secretText, oauth2.AuthStyleInParams},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			provider, err := oidc.NewProvider(t.Context(), h.base)
			if err != nil {
				t.Fatal(err)
			}
			endpoint := provider.Endpoint()
			endpoint.AuthStyle = c.style
			app := oauth2.Config{
				ClientID: c.id, ClientSecret: c.secret, Endpoint: endpoint, RedirectURL: callback,
				Scopes: []string{"openid", "fhirUser", "launch/patient", "patient/*.rs"},
			}
			b := h.browser()
			consent := b.get(app.AuthCodeURL("state 1", oauth2.S256ChallengeOption(verifier), oidc.Nonce("nonce 1"), oauth2.SetAuthURLParam("aud", h.base+"/fhir/demo"))).want(t, "consent")
			done := b.post(consent.view.Action, consent.yes())
			if done.status != http.StatusSeeOther || !strings.HasPrefix(done.location, callback+"&code=") {
				t.Fatalf("status %d, location %q", done.status, done.location)
			}
			if done.query.Get("state") != "state 1" || done.query.Get("iss") != h.base {
				t.Errorf("answer %v", done.query)
			}

			got, err := app.Exchange(t.Context(), done.query.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			if got.Type() != "Bearer" || got.Extra("patient") != "p1" || got.ExpiresIn != 3600 ||
				got.Extra("scope") != "openid fhirUser launch/patient patient/*.rs" {
				t.Errorf("token: type %s, patient %v, expires_in %d, scope %v", got.Type(), got.Extra("patient"), got.ExpiresIn, got.Extra("scope"))
			}
			raw, _ := got.Extra("id_token").(string)
			id, err := provider.Verifier(&oidc.Config{ClientID: c.id, Now: h.Now}).Verify(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := id.VerifyAccessToken(got.AccessToken); err != nil {
				t.Error(err)
			}
			var claims struct {
				FHIRUser string `json:"fhirUser"`
				AuthTime int64  `json:"auth_time"`
			}
			if err := id.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if id.Nonce != "nonce 1" || id.Subject == "" || claims.FHIRUser != h.base+"/fhir/demo/Patient/p1" ||
				claims.AuthTime != h.Now().Add(-time.Minute).Unix() || !id.IssuedAt.Equal(h.Now()) || !id.Expiry.Equal(h.Now().Add(time.Hour)) {
				t.Errorf("id_token %+v, claims %+v", id, claims)
			}
			grant, ok := h.good(got.AccessToken)
			if !ok || grant.Patient != "p1" || grant.Source != "demo" || grant.Client != c.id {
				t.Errorf("grant %+v, good %v", grant, ok)
			}
			if got := h.audit.what(); got != "granted code-exchanged" {
				t.Errorf("recorded: %s", got)
			}
			if h.pending.Count() != 0 {
				t.Error("the request is still there")
			}
		})
	}
}

func TestPersonSignsInOnceAndSeesWhoAsks(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	v := b.authorize(h.ask(nil)).want(t, "consent").view
	if v.App != "App" || v.Person != "Ana" || v.Patient.ID != "p1" || v.ReturnTo != "https://app.example" || !strings.HasPrefix(v.Action, "/oauth/consent?request=") {
		t.Errorf("view %+v", v)
	}
	if want := h.Now().Add(61 * time.Minute); !v.Until.Equal(want) {
		t.Errorf("until %s, want %s: without refresh token a grant ends with its access token", v.Until, want)
	}
	required := map[string]bool{}
	for _, s := range v.Scopes {
		required[s.Value] = s.Required
		if s.Type == "Condition" && (!s.Read || s.Write || s.Value != "patient/Condition.read") {
			t.Errorf("line %+v", s)
		}
	}
	if len(required) != 5 || !required["openid"] || !required["launch/patient"] || required["patient/Observation.rs"] {
		t.Errorf("lines %v", v.Scopes)
	}
	b.authorize(h.ask(nil)).want(t, "consent")
	if h.people.starts != 1 {
		t.Errorf("the person was sent to sign in %d times, want once", h.people.starts)
	}
}

func TestPersonActingForSeveralChoosesOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ patient, fhirUser, scope string }{
		{"p2", "/fhir/demo/Patient/p2", "openid fhirUser launch/patient patient/Observation.rs patient/Condition.read"},
		{"p3", "/fhir/demo/RelatedPerson/r3", "openid fhirUser launch/patient patient/Observation.rs patient/Condition.read"},
		// Nobody knows what this person is to p4, so fhirUser is not granted.
		{"p4", "", "openid launch/patient patient/Observation.rs patient/Condition.read"},
	} {
		t.Run(c.patient, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			h.people.next = "bo"
			b := h.browser()
			choose := b.authorize(h.ask(nil)).want(t, "choose")
			if len(choose.view.Patients) != 3 {
				t.Errorf("offered %v", choose.view.Patients)
			}
			consent := b.post(choose.view.Action, url.Values{"csrf": {choose.view.CSRF}, "patient": {c.patient}}).want(t, "consent")
			if consent.view.Patient.ID != c.patient {
				t.Errorf("consent about %s", consent.view.Patient.ID)
			}
			code := b.post(consent.view.Action, consent.yes()).query.Get("code")
			got := h.token(exchange(code, nil))
			if got.text("patient") != c.patient || got.text("scope") != c.scope {
				t.Errorf("answer %s", got.raw)
			}
			want := any(nil)
			if c.fhirUser != "" {
				want = h.base + c.fhirUser
			}
			if user := claimsOf(t, got.text("id_token"))["fhirUser"]; user != want {
				t.Errorf("fhirUser = %v, want %v", user, want)
			}
		})
	}
}

func TestPersonMayChooseAgainBeforeAgreeing(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	h.people.next = "bo"
	b := h.browser()
	choose := b.authorize(h.ask(nil)).want(t, "choose")
	pick := func(page result, patient string) result {
		return b.post(page.view.Action, url.Values{"csrf": {page.view.CSRF}, "patient": {patient}}).want(t, "consent")
	}
	first := pick(choose, "p2")
	second := pick(b.get(choose.view.Action).want(t, "choose"), "p3")
	// The page about the first is still open in another tab.
	b.post(first.view.Action, first.yes()).want(t, "problem")
	code := b.post(second.view.Action, second.yes()).query.Get("code")
	if got := h.token(exchange(code, nil)); got.text("patient") != "p3" {
		t.Errorf("answer %s", got.raw)
	}
}

func TestGrantHasWhatWasTickedAndNoMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		ticked []string
		want   string // granted scope; "": the page comes again
	}{
		{"nothing at all", nil, ""},
		{"identity alone, though data was asked for", []string{"openid", "fhirUser", "launch/patient"}, ""},
		{"one type", []string{"patient/Condition.read"}, "openid fhirUser launch/patient patient/Condition.read"},
		{"everything", []string{"openid", "fhirUser", "launch/patient", "patient/Observation.rs", "patient/Condition.read"}, "openid fhirUser launch/patient patient/Observation.rs patient/Condition.read"},
		{"the same twice", []string{"patient/Condition.read", "patient/Condition.read"}, "openid fhirUser launch/patient patient/Condition.read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			b := h.browser()
			consent := b.authorize(h.ask(nil)).want(t, "consent")
			done := b.post(consent.view.Action, url.Values{"csrf": {consent.view.CSRF}, "decision": {"allow"}, "scope": c.ticked})
			if c.want == "" {
				done.want(t, "consent")
				if !done.view.NothingChosen || h.audit.what() != "" || len(h.tokens.Grants()) != 0 {
					t.Errorf("recorded %q, %d grants", h.audit.what(), len(h.tokens.Grants()))
				}
				// The request is still there for a decision that says something.
				if b.post(done.view.Action, done.yes()).query.Get("code") == "" {
					t.Error("no code after the second try")
				}
				return
			}
			got := h.token(exchange(done.query.Get("code"), nil))
			if got.text("scope") != c.want {
				t.Errorf("scope = %q, want %q", got.text("scope"), c.want)
			}
		})
	}
}

func TestNoIsAccessDeniedAndFinal(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	form := consent.yes()
	form.Set("decision", "deny")
	done := b.post(consent.view.Action, form)
	done.wantError(t, "access_denied")
	if done.query.Get("state") != "st" {
		t.Errorf("state %q", done.query.Get("state"))
	}
	again := b.post(consent.view.Action, consent.yes()).want(t, "problem")
	if again.status != http.StatusConflict || len(h.tokens.Grants()) != 0 {
		t.Errorf("after a no: status %d, %d grants", again.status, len(h.tokens.Grants()))
	}
}

func TestTwoTabsOfOneBrowserDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	first := b.authorize(h.ask(func(q url.Values) { q.Set("state", "1") })).want(t, "consent")
	second := b.authorize(h.ask(func(q url.Values) { q.Set("state", "2") })).want(t, "consent")
	for _, page := range []result{first, second} {
		if done := b.post(page.view.Action, page.yes()); done.query.Get("code") == "" {
			t.Errorf("no code: %s %s", done.page, done.view.Title)
		}
	}
}

func TestPersonWithoutRecordSeesAPageAndMaySignInAsAnother(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	h.people.next = "nil"
	b := h.browser()
	page := b.authorize(h.ask(nil)).want(t, "problem")
	if page.status != http.StatusForbidden || page.view.Title != "We found no record for you" {
		t.Errorf("%d %s", page.status, page.view.Title)
	}
}

func TestSignInThatDoesNotStickEndsOnAPage(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	h.people.next = ""
	page := h.browser().authorize(h.ask(nil)).want(t, "problem")
	if page.view.Title != "You are not signed in" || h.people.starts != 1 {
		t.Errorf("%s after %d rounds", page.view.Title, h.people.starts)
	}
}

// never stands for a provider that sends no auth_time.
const never = 1 << 62

func TestOldSignInIsRefreshedOrRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, param, value string
		age                time.Duration // of the sign-in the provider gives
		want               string        // "": consent
	}{
		{"prompt=login, provider signs in again", "prompt", "login", 0, ""},
		{"prompt=login, provider does not", "prompt", "login", time.Hour, "login_required"},
		{"max_age=60, sign-in is older", "max_age", "60", time.Hour, "login_required"},
		{"max_age=0", "max_age", "0", time.Minute, "login_required"},
		{"max_age=7200, sign-in is younger", "max_age", "7200", time.Hour, ""},
		{"prompt=consent changes nothing", "prompt", "consent", time.Hour, ""},
		{"prompt=select_account, an older sign-in is good", "prompt", "consent select_account", time.Hour, ""},
		{"max_age, the provider does not say when", "max_age", "7200", never, "login_required"},
		{"prompt=login, the provider does not say when", "prompt", "login", never, "login_required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			who := authz.Person{Issuer: "https://idp.example", Subject: "ana", AuthTime: h.Now().Add(-c.age)}
			if c.age == never {
				who.AuthTime = time.Time{}
			}
			h.people.known["ana"] = who
			b := h.browser()
			got := b.authorize(h.ask(func(q url.Values) { q.Set(c.param, c.value) }))
			if c.want == "" {
				got.want(t, "consent")
				return
			}
			got.wantError(t, c.want)
			if h.people.starts != 1 || h.pending.Count() != 0 {
				t.Errorf("%d rounds of sign-in, %d requests left", h.people.starts, h.pending.Count())
			}
		})
	}
}

func TestAuthorizeTakesPosts(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	consent := b.post("/oauth/authorize", h.ask(nil)).want(t, "consent")
	if done := b.post(consent.view.Action, consent.yes()); done.query.Get("code") == "" {
		t.Errorf("no code: %s", done.location)
	}
	// Part in the URL, part in the body is one request.
	q := h.ask(func(q url.Values) { q.Del("client_id") })
	b.post("/oauth/authorize?client_id="+publicApp, q).want(t, "consent")
}

func TestNativeAppsAreAnsweredAtTheirOwnAddress(t *testing.T) {
	t.Parallel()
	for uri, returnTo := range map[string]string{
		"com.example.app:/cb":       "com.example.app:",
		"http://127.0.0.1:51004/cb": "http://127.0.0.1:51004",
		"http://127.0.0.1/cb":       "http://127.0.0.1",
	} {
		h := start(t, nil)
		b := h.browser()
		consent := b.authorize(h.ask(func(q url.Values) { q.Set("client_id", "native"); q.Set("redirect_uri", uri) })).want(t, "consent")
		if consent.view.ReturnTo != returnTo {
			t.Errorf("%s: return to %s", uri, consent.view.ReturnTo)
		}
		done := b.post(consent.view.Action, consent.yes())
		if !strings.HasPrefix(done.location, uri+"?code=") {
			t.Errorf("%s: answered at %s", uri, done.location)
		}
		got := h.token(exchange(done.query.Get("code"), func(f url.Values) { f.Set("client_id", "native"); f.Set("redirect_uri", uri) }))
		if got.status != http.StatusOK {
			t.Errorf("%s: %s", uri, got.raw)
		}
	}
}

func TestStateComesBackByteForByte(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	for _, state := range []string{
		"a b+c%20d&e=f#g?h/i", "\x00\x01\x7f\xff\xfe", "é漢🙂", "\r\nSet-Cookie: x=1\r\n\r\n", `"'<script>\`, strings.Repeat("s", 2000), "%", "+",
	} {
		b := h.browser()
		consent := b.authorize(h.ask(func(q url.Values) { q.Set("state", state) })).want(t, "consent")
		done := b.post(consent.view.Action, consent.yes())
		if got := done.query.Get("state"); got != state {
			t.Errorf("state %q came back as %q", state, got)
		}
		if strings.ContainsAny(done.location, " +\r\n") || len(done.header.Values("Set-Cookie")) != 0 {
			t.Errorf("location %q", done.location)
		}
	}
	// Without state there is none.
	b := h.browser()
	consent := b.authorize(h.ask(func(q url.Values) { q.Del("state") })).want(t, "consent")
	if done := b.post(consent.view.Action, consent.yes()); done.query.Has("state") {
		t.Errorf("a state out of nowhere: %s", done.location)
	}
}

func TestScopesThatCannotBeGrantedAreLeftOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, app, asked, want string }{
		{"unknown words and malformed scopes", publicApp, "email address patient/Observation.sr Patient/Observation.rs patient/Observation.rs", "patient/Observation.rs"},
		{"types that do not exist", publicApp, "patient/Unknown.rs patient/Observation.rs", "patient/Observation.rs"},
		{"system level", publicApp, "user/Observation.rs system/*.rs patient/Observation.rs", "user/Observation.rs patient/Observation.rs"},
		{"granular scopes", publicApp, "patient/Observation.rs?category=a|b patient/Condition.rs", "patient/Condition.rs"},
		{"writing", publicApp, "patient/Observation.write patient/Appointment.cruds patient/Condition.* patient/Patient.c", "patient/Appointment.rs patient/Condition.read"},
		{"launch contexts that there are not", publicApp, "launch launch/encounter openid", "openid"},
		{"what narrowing makes twice", publicApp, "patient/Observation.rs patient/Observation.cruds", "patient/Observation.rs"},
		{"beyond the client's own", "narrow", "openid fhirUser patient/*.rs patient/Condition.rs patient/Condition.r patient/Observation.read", "openid patient/Condition.r patient/Observation.read"},
		{"nothing, in order as asked", publicApp, "launch/patient fhirUser openid profile patient/*.read patient/Observation.rs", "launch/patient fhirUser openid profile patient/*.read patient/Observation.rs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			code := h.code(func(q url.Values) { q.Set("scope", c.asked); q.Set("client_id", c.app) })
			got := h.token(exchange(code, func(f url.Values) { f.Set("client_id", c.app) }))
			if got.text("scope") != c.want {
				t.Errorf("asked %q, granted %q, want %q", c.asked, got.text("scope"), c.want)
			}
		})
	}
}
