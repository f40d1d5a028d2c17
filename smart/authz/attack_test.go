package authz_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

// The attacks of RFC 9700 that reach this server, and those on its pages.
// Refused parameters, redirect tricks and PKCE downgrades at the authorization
// endpoint are rows of refused_test.go.

func TestReplayedCodeKillsItsTokens(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(nil)
	first := h.token(exchange(code, nil))
	if _, ok := h.good(first.text("access_token")); !ok {
		t.Fatal("the first exchange did not work")
	}
	h.advance(10 * time.Minute) // long after the code expired
	h.token(exchange(code, nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
	if _, ok := h.good(first.text("access_token")); ok {
		t.Error("the token outlived a replay of its code")
	}
	if got := h.audit.what(); got != "granted code-exchanged code-replayed" {
		t.Errorf("recorded: %s", got)
	}
}

// Whoever tries a code with something wrong gets one try, and its grant ends.
func TestFailedExchangeSpendsTheCode(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(f url.Values){
		"stolen code, no idea of the verifier": func(f url.Values) { f.Set("code_verifier", strings.Repeat("x", 50)) },
		"stolen code, challenge as verifier":   func(f url.Values) { f.Set("code_verifier", challenge) },
		"stolen code, used by another app":     func(f url.Values) { f.Set("client_id", "native") },
		"code injected at another redirect":    func(f url.Values) { f.Set("redirect_uri", "https://app.example/second") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			code := h.code(nil)
			h.token(exchange(code, spoil)).wantError(t, http.StatusBadRequest, "invalid_grant")
			if len(h.tokens.Grants()) != 0 {
				t.Error("the grant is still there, though nobody can use it")
			}
			h.token(exchange(code, nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
			if got := h.audit.what(); got != "granted code-refused code-replayed" {
				t.Errorf("recorded: %s", got)
			}
		})
	}
}

func TestCodeOfAConfidentialAppIsWorthNothingWithoutItsSecret(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(func(q url.Values) { q.Set("client_id", secretApp) })
	h.token(exchange(code, func(f url.Values) { f.Set("client_id", secretApp) })).wantError(t, http.StatusUnauthorized, "invalid_client")
	// The thief did not even spend it.
	got := h.token(exchange(code, func(f url.Values) { f.Set("client_id", secretApp); f.Set("client_secret", secretText) }))
	if got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestCodesExpire(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(nil)
	h.advance(time.Minute)
	h.token(exchange(code, nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestTokensEndWithTimeAndRevocation(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	bearer := h.token(exchange(h.code(nil), nil)).text("access_token")
	h.advance(time.Hour - time.Second)
	g, ok := h.good(bearer)
	if !ok {
		t.Fatal("the token ended before its time")
	}
	h.advance(time.Second)
	if _, ok := h.good(bearer); ok {
		t.Error("the token lives beyond expires_in")
	}
	h.advance(-time.Hour)
	if err := h.tokens.RevokeGrant(t.Context(), g.ID, h.Now()); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.good(bearer); ok {
		t.Error("the token outlived its grant")
	}
}

// A token names the one source it is good at.
func TestTokenIsBoundToItsSource(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	for _, source := range []string{"demo", "other"} {
		got := h.token(exchange(h.code(func(q url.Values) { q.Set("aud", h.base+"/fhir/"+source) }), nil))
		g, ok := h.good(got.text("access_token"))
		if !ok || g.Source != source {
			t.Errorf("a token for %s is good at %q", source, g.Source)
		}
		if user, _ := claimsOf(t, got.text("id_token"))["fhirUser"].(string); !strings.HasPrefix(user, h.base+"/fhir/"+source+"/") {
			t.Errorf("fhirUser %s of a token for %s", user, source)
		}
	}
}

// An id_token, a code or anything else of ours is no access token.
func TestNothingElseIsAnAccessToken(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(nil)
	got := h.token(exchange(code, nil))
	for name, bearer := range map[string]string{"code": code, "id_token": got.text("id_token"), "grant id": h.tokens.Grants()[0].ID} {
		if _, ok := h.good(bearer); ok {
			t.Errorf("the %s is accepted as access token", name)
		}
	}
}

// Of many exchanges of one code at most one gives a token; and since each of
// the others is a replay, none is good afterwards.
func TestConcurrentExchangesAreReplays(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(nil)
	const n = 50
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i] = h.token(exchange(code, nil)) })
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusOK {
			won++
			if _, ok := h.good(a.text("access_token")); ok {
				t.Error("the winner's token outlived 49 replays")
			}
			continue
		}
		a.wantError(t, http.StatusBadRequest, "invalid_grant")
	}
	if won > 1 {
		t.Errorf("%d of %d exchanges gave a token", won, n)
	}
	if got := len(h.tokens.Grants()); got != 0 {
		t.Errorf("%d grants are left", got)
	}
	events := h.audit.what()
	if strings.Count(events, "code-exchanged") != 1 || strings.Count(events, "code-replayed") != n-1 {
		t.Errorf("recorded: %s", events)
	}
}

func TestConcurrentConsentsMakeOneGrant(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	const n = 20
	results := make([]result, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { results[i] = b.post(consent.view.Action, consent.yes()) })
	}
	wg.Wait()
	codes := map[string]bool{}
	for _, r := range results {
		codes[r.query.Get("code")] = true // all get the one answer
	}
	if len(codes) != 1 || codes[""] || len(h.tokens.Grants()) != 1 {
		t.Errorf("%d codes, %d grants, want one each", len(codes), len(h.tokens.Grants()))
	}
}

// Login CSRF and consent phishing: a request begun in one browser is worth
// nothing in another, at any page.
func TestRequestCannotBeFinishedInAnotherBrowser(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	h.people.next = "bo"
	attacker := h.browser()
	choose := attacker.authorize(h.ask(nil)).want(t, "choose")
	request := choose.view.Action[strings.Index(choose.view.Action, "?"):]

	// The victim is signed in and has a request of their own in the works.
	victim := h.browser()
	own := victim.authorize(h.ask(nil)).want(t, "choose")
	fresh := h.browser()
	form := url.Values{"csrf": {choose.view.CSRF}, "patient": {"p2"}, "decision": {"allow"}, "scope": {"patient/Observation.rs"}}
	for name, b := range map[string]*browser{"a victim's": victim, "a fresh": fresh} {
		for _, path := range []string{"/oauth/continue", "/oauth/patient", "/oauth/consent"} {
			for _, got := range []result{b.get(path + request), b.post(path+request, form)} {
				if path == "/oauth/continue" && got.status == http.StatusMethodNotAllowed {
					continue // nothing is posted there
				}
				if got.want(t, "problem"); got.status != http.StatusForbidden || got.view.Title != "This request was started in another browser" {
					t.Errorf("%s browser at %s: %d %s", name, path, got.status, got.view.Title)
				}
			}
		}
	}
	// A form of the victim's own request does not fit another's, nor the other
	// way round.
	got := victim.post(own.view.Action, form)
	if got.want(t, "problem"); got.view.Title != "This form cannot be accepted" {
		t.Errorf("the attacker's form token: %s", got.view.Title)
	}
	if len(h.tokens.Grants()) != 0 {
		t.Error("something was granted")
	}
}

func TestPlantedCookieBesideTheOwnCountsForNothing(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	base, err := url.Parse(h.base)
	if err != nil {
		t.Fatal(err)
	}
	var own string
	for _, c := range b.c.Jar.Cookies(base) {
		if c.Name == "portico_request" {
			own = c.Value
		}
	}
	planted, _ := token.NewSecret(zeros{})
	for _, pair := range [][2]string{{own, planted}, {planted, own}} {
		req := h.request(http.MethodGet, consent.view.Action, nil)
		req.Header.Set("Cookie", "sid=ana; portico_request="+pair[0]+"; portico_request="+pair[1])
		bare := h.browser() // without a jar of its own
		if got := bare.do(req).want(t, "problem"); got.status != http.StatusForbidden {
			t.Errorf("two cookies: %d", got.status)
		}
	}
}

// A choice made in another tab between the look at the request and its use
// must not become the subject of a yes that was about somebody else.
func TestChoiceThatChangesUnderwayIsNotAgreedTo(t *testing.T) {
	t.Parallel()
	h := start(t, func(h *harness, o *authz.Options) { o.Pending = &swapping{PendingStore: h.pending} })
	h.people.next = "bo"
	b := h.browser()
	choose := b.authorize(h.ask(nil)).want(t, "choose")
	consent := b.post(choose.view.Action, url.Values{"csrf": {choose.view.CSRF}, "patient": {"p2"}}).want(t, "consent")
	got := b.post(consent.view.Action, consent.yes()).want(t, "problem")
	if got.status != http.StatusNotFound || len(h.tokens.Grants()) != 0 {
		t.Errorf("%d %s, %d grants", got.status, got.view.Title, len(h.tokens.Grants()))
	}
}

// swapping changes the patient at the last moment.
type swapping struct{ authz.PendingStore }

func (s *swapping) UsePending(ctx context.Context, id string, now time.Time) (authz.Pending, error) {
	if err := s.ChoosePatient(ctx, id, "p3"); err != nil {
		return authz.Pending{}, err
	}
	return s.PendingStore.UsePending(ctx, id, now)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestForgedFormsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(form url.Values)
		title string
	}{
		{"no csrf", func(f url.Values) { f.Del("csrf") }, "This form cannot be accepted"},
		{"blank csrf", func(f url.Values) { f.Set("csrf", "") }, "This form cannot be accepted"},
		{"another csrf", func(f url.Values) { f.Set("csrf", strings.Repeat("A", 43)) }, "This form cannot be accepted"},
		{"csrf twice", func(f url.Values) { f.Add("csrf", f.Get("csrf")) }, "This form cannot be accepted"},
		{"no decision", func(f url.Values) { f.Del("decision") }, "This form cannot be accepted"},
		{"another decision", func(f url.Values) { f.Set("decision", "Allow") }, "This form cannot be accepted"},
		{"both decisions", func(f url.Values) { f.Add("decision", "deny") }, "This form cannot be accepted"},
		{"a scope that was not asked for", func(f url.Values) { f.Add("scope", "patient/Patient.rs") }, "This form cannot be accepted"},
		{"a wider scope", func(f url.Values) { f.Add("scope", "patient/*.rs") }, "This form cannot be accepted"},
		{"another spelling of a scope", func(f url.Values) { f.Add("scope", "patient/Observation.read") }, "This form cannot be accepted"},
		{"several scopes in one", func(f url.Values) { f.Set("scope", "patient/Observation.rs patient/Condition.read") }, "This form cannot be accepted"},
		{"offline access", func(f url.Values) { f.Add("scope", "offline_access") }, "This form cannot be accepted"},
		{"a blank scope", func(f url.Values) { f.Add("scope", "") }, "This form cannot be accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			b := h.browser()
			consent := b.authorize(h.ask(nil)).want(t, "consent")
			form := consent.yes()
			c.spoil(form)
			got := b.post(consent.view.Action, form).want(t, "problem")
			if got.status != http.StatusForbidden || got.view.Title != c.title {
				t.Errorf("%d %s", got.status, got.view.Title)
			}
			if len(h.tokens.Grants()) != 0 || h.audit.what() != "" {
				t.Errorf("something was decided: %s", h.audit.what())
			}
			// The person's own form still works.
			if done := b.post(consent.view.Action, consent.yes()); done.query.Get("code") == "" {
				t.Errorf("the good form: %s", done.view.Title)
			}
		})
	}
}

func TestForgedChoicesAreRefused(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	h.people.next = "bo"
	b := h.browser()
	choose := b.authorize(h.ask(nil)).want(t, "choose")
	for name, form := range map[string]url.Values{
		"no csrf":                {"patient": {"p2"}},
		"another csrf":           {"patient": {"p2"}, "csrf": {strings.Repeat("A", 43)}},
		"somebody else's record": {"patient": {"p1"}, "csrf": {choose.view.CSRF}},
		"no record":              {"patient": {""}, "csrf": {choose.view.CSRF}},
		"nothing":                {"csrf": {choose.view.CSRF}},
		"two":                    {"patient": {"p2", "p3"}, "csrf": {choose.view.CSRF}},
	} {
		if got := b.post(choose.view.Action, form).want(t, "problem"); got.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, got.status, got.view.Title)
		}
	}
	// The form token of one page is not that of the other.
	consent := b.post(choose.view.Action, url.Values{"csrf": {choose.view.CSRF}, "patient": {"p2"}}).want(t, "consent")
	form := consent.yes()
	form.Set("csrf", choose.view.CSRF)
	b.post(consent.view.Action, form).want(t, "problem")
	form = url.Values{"patient": {"p3"}, "csrf": {consent.view.CSRF}}
	b.post(choose.view.Action, form).want(t, "problem")
}

// What a person agreed to is worth nothing when somebody else sits there now.
func TestChangeOfPersonMakesTheFormWorthless(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	h.people.next = "bo"
	b := h.browser()
	choose := b.authorize(h.ask(nil)).want(t, "choose")
	consent := b.post(choose.view.Action, url.Values{"csrf": {choose.view.CSRF}, "patient": {"p2"}}).want(t, "consent")

	swap := func(who string, patients ...authz.Patient) {
		h.people.set(func(p *people) {
			p.known["bo"] = authz.Person{Issuer: "https://idp.example", Subject: who, Name: who, AuthTime: h.Now()}
			if patients != nil {
				p.patients[who] = patients
			}
		})
	}
	// Another person with another record: back to the dispatcher, which asks anew.
	swap("ana")
	if got := b.post(consent.view.Action, consent.yes()).want(t, "problem"); got.view.Title != "This form cannot be accepted" {
		t.Errorf("%s", got.view.Title)
	}
	if got := b.get(consent.view.Action).want(t, "consent"); got.view.Patient.ID != "p1" || got.view.Person != "ana" {
		t.Errorf("the page is about %s for %s", got.view.Patient.ID, got.view.Person)
	}
	// Another person who may act for the same patient did not see the page.
	swap("eve", authz.Patient{ID: "p2"}, authz.Patient{ID: "p9"})
	if got := b.post(consent.view.Action, consent.yes()); got.page == "" && got.query.Get("code") != "" {
		t.Error("somebody else's yes was taken")
	}
	// The person lost the right to act for the patient.
	swap("bo", authz.Patient{ID: "p3"}, authz.Patient{ID: "p4"})
	got := b.post(consent.view.Action, consent.yes())
	if got.query.Get("code") != "" || len(h.tokens.Grants()) != 0 {
		t.Errorf("a grant for a patient the person may no longer act for: %s", got.location)
	}
	got.want(t, "choose")
}

func TestPagesOutOfTurnLeadBackToTheDispatcher(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	h.people.next = "bo"
	b := h.browser()
	choose := b.authorize(h.ask(nil)).want(t, "choose")
	consentURL := strings.Replace(choose.view.Action, "/patient", "/consent", 1)
	b.get(consentURL).want(t, "choose")
	b.post(consentURL, url.Values{"decision": {"allow"}, "csrf": {choose.view.CSRF}}).want(t, "choose")
	if len(h.tokens.Grants()) != 0 {
		t.Error("granted without a patient")
	}
	// Whoever has one record only has nothing to choose.
	h.people.next = "ana"
	other := h.browser()
	consent := other.authorize(h.ask(nil)).want(t, "consent")
	other.get(strings.Replace(consent.view.Action, "/consent", "/patient", 1)).want(t, "consent")
}

func TestPendingRequestsExpire(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	h.advance(30 * time.Minute)
	for _, got := range []result{b.post(consent.view.Action, consent.yes()), b.get(consent.view.Action), b.get("/oauth/continue"), b.get("/oauth/continue?request=nobody")} {
		if got.want(t, "problem"); got.status != http.StatusNotFound || got.view.Title != "This request is over" {
			t.Errorf("%d %s", got.status, got.view.Title)
		}
	}
}

func TestSuspendedClientCannotFinish(t *testing.T) {
	t.Parallel()
	registry := &switching{t: t}
	h := start(t, func(_ *harness, o *authz.Options) { registry.Registry = o.Clients; o.Clients = registry })
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	code := h.code(nil)
	registry.suspend(true)
	b.post(consent.view.Action, consent.yes()).want(t, "problem")
	h.token(exchange(code, nil)).wantError(t, http.StatusUnauthorized, "invalid_client")
}

func TestAnswersToBrowsersCannotBeFramedOrKept(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	problem := b.get("/oauth/continue").want(t, "problem")
	done := b.post(consent.view.Action, consent.yes())
	for name, r := range map[string]result{"consent": consent, "problem": problem, "redirect": done} {
		if r.header.Get("X-Frame-Options") != "DENY" || r.header.Get("Referrer-Policy") != "no-referrer" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, r.header)
		}
	}
}

func TestCookieBindsAsTightlyAsBrowsersAllow(t *testing.T) {
	t.Parallel()
	for issuer, name := range map[string]string{"https://portico.example": "__Host-portico_request", "http://localhost:8080": "portico_request"} {
		h := start(t, func(_ *harness, o *authz.Options) {
			o.Issuer = issuer
			o.Sources = []authz.Source{{ID: "demo", Name: "Demo", Base: issuer + "/fhir/demo"}}
		})
		b := h.browser()
		b.c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		got := b.authorize(h.ask(func(q url.Values) { q.Set("aud", issuer+"/fhir/demo") }))
		cookies, err := http.ParseSetCookie(got.header.Get("Set-Cookie"))
		if err != nil {
			t.Fatal(err)
		}
		if cookies.Name != name || !cookies.HttpOnly || cookies.SameSite != http.SameSiteLaxMode || cookies.Path != "/" || cookies.Domain != "" ||
			cookies.Secure != strings.HasPrefix(issuer, "https") || cookies.MaxAge != 1800 {
			t.Errorf("%s: %+v", issuer, cookies)
		}
		if strings.Contains(got.location, cookies.Value) {
			t.Error("the cookie's secret is in the URL")
		}
	}
}
