package authz_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The attacks of RFC 9700 §4 on an authorization server, one row each. Some rows
// are the short form of a test that goes into all the variants.
func TestAttacksOfRFC9700(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(t *testing.T, h *harness){
		"4.1 redirect URIs that only look like a registered one":  redirectTricks,
		"4.2 nothing leaks by Referer":                            noReferer,
		"4.3 nothing that is in the history is good again":        historyIsWorthless,
		"4.4 mix-up: every answer says whose it is":               everyAnswerNamesTheIssuer,
		"4.5 code injection: another's code in one's own session": codeInjection,
		"4.6 access token injection: at_hash binds it":            tokenInjection,
		"4.7 CSRF and login CSRF: a request of another browser":   loginCSRF,
		"4.8 PKCE downgrade":                                      pkceDowngrade,
		"4.9 replay of a code ends what it gave":                  codeReplay,
		"4.10 a token is for one source":                          substitutedSource,
		"4.11 no open redirector":                                 openRedirector,
		"4.12 every redirect is a 303":                            redirectsAre303,
		"4.14 reuse of a refresh token":                           refreshReuse,
		"4.15 a service is nobody":                                serviceIsNobody,
		"4.16 clickjacking":                                       clickjacking,
		"PAR: somebody else's request_uri":                        pushedSwap,
		"PAR: parameters beside the request_uri":                  pushedPollution,
		"EHR launch: a handle that was seen":                      launchReplay,
		"EHR launch: a clinician's launch for another person":     launchForAnother,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startEHR(t, nil)
			h.t = t
			attack(t, h)
		})
	}
}

func redirectTricks(t *testing.T, h *harness) {
	for _, uri := range []string{
		"https://app.example.evil.example/cb?keep=1%202", "https://evil.example/?https://app.example/cb?keep=1%202",
		"https://app.example:443/cb?keep=1%202", "https://APP.example/cb?keep=1%202", "https://app.example/CB?keep=1%202",
		"https://app.example/cb%2f..?keep=1%202", "https://app.example\\@evil.example/cb?keep=1%202", "https://app.example/cb?keep=1%202&",
		"//app.example/cb?keep=1%202", "http://app.example/cb?keep=1%202", "https://app.example./cb?keep=1%202", callback + "\x00", callback + "\r\nLocation: https://evil.example",
		" " + callback, callback + " ", "data:text/html,x", "urn:ietf:wg:oauth:2.0:oob",
	} {
		got := h.browser().authorize(h.ask(func(q url.Values) { q.Set("redirect_uri", uri) })).want(t, "problem")
		if got.status != http.StatusBadRequest || got.location != "" {
			t.Errorf("%q: %d %s", uri, got.status, got.location)
		}
	}
}

func noReferer(t *testing.T, h *harness) {
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	for what, r := range map[string]result{
		"the consent page": consent, "a problem": b.get("/oauth/continue"), "the answer": b.post(consent.view.Action, consent.yes()),
	} {
		if r.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", what, r.header)
		}
	}
	// Neither codes nor tokens are taken from a URL.
	req := h.request(http.MethodPost, "/oauth/token?"+exchange(h.code(nil), nil).Encode(), url.Values{})
	h.call(req).wantError(t, http.StatusBadRequest, "invalid_request")
}

func historyIsWorthless(t *testing.T, h *harness) {
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	form := consent.yes()
	code := b.post(consent.view.Action, form).query.Get("code")
	h.token(exchange(code, nil))
	h.token(exchange(code, nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
	if got := b.post(consent.view.Action, form).want(t, "problem"); got.status != http.StatusConflict {
		t.Errorf("the form again: %d %s", got.status, got.view.Title)
	}
}

func everyAnswerNamesTheIssuer(t *testing.T, h *harness) {
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	yes := b.post(consent.view.Action, consent.yes())
	consent = b.authorize(h.ask(func(q url.Values) { q.Set("prompt", "consent") })).want(t, "consent")
	no := b.post(consent.view.Action, url.Values{"csrf": {consent.view.CSRF}, "decision": {"deny"}})
	wrong := b.authorize(h.ask(func(q url.Values) { q.Set("aud", "https://evil.example") }))
	for what, r := range map[string]result{"yes": yes, "no": no, "error": wrong} {
		if len(r.query["iss"]) != 1 || r.query.Get("iss") != h.base || r.query.Get("state") != "st" {
			t.Errorf("%s: %v", what, r.query)
		}
	}
}

// The attacker puts the victim's code into a session of their own, whose
// verifier is another; and their own code into the victim's, with the same end.
func codeInjection(t *testing.T, h *harness) {
	const other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	stolen := h.code(nil)
	h.token(exchange(stolen, func(f url.Values) { f.Set("code_verifier", other) })).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.token(exchange(stolen, nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
	for _, id := range []string{"native", "narrow"} {
		h.token(exchange(h.code(nil), func(f url.Values) { f.Set("client_id", id) })).wantError(t, http.StatusBadRequest, "invalid_grant")
	}
}

func tokenInjection(t *testing.T, h *harness) {
	first, second := h.token(exchange(h.code(nil), nil)), h.token(exchange(h.code(nil), nil))
	if a, b := claimsOf(t, first.text("id_token"))["at_hash"], claimsOf(t, second.text("id_token"))["at_hash"]; a == nil || a == b {
		t.Errorf("at_hash %v and %v of two tokens", a, b)
	}
}

// The attacker begins a request, with their own session at the provider, and
// has the victim's browser finish it.
func loginCSRF(t *testing.T, h *harness) {
	h.people.set(func(p *people) { p.next = "bo" })
	attacker := h.browser()
	choose := attacker.authorize(h.ask(nil)).want(t, "choose")
	request := choose.view.Action[strings.Index(choose.view.Action, "?"):]
	victim := h.browser()
	for _, path := range []string{"/oauth/continue", "/oauth/patient", "/oauth/consent"} {
		if got := victim.get(path+request).want(t, "problem"); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	// A form without the token of this page is somebody else's.
	for _, csrf := range []string{"", choose.view.CSRF + "x"} {
		if got := attacker.post(choose.view.Action, url.Values{"patient": {"p2"}, "csrf": {csrf}}).want(t, "problem"); got.status != http.StatusForbidden {
			t.Errorf("csrf %q: %d", csrf, got.status)
		}
	}
}

func pkceDowngrade(t *testing.T, h *harness) {
	for _, id := range []string{publicApp, secretApp, "native"} {
		for name, change := range map[string]func(q url.Values){
			"no challenge": func(q url.Values) { q.Del("code_challenge") },
			"plain":        func(q url.Values) { q.Set("code_challenge_method", "plain") },
			"no method":    func(q url.Values) { q.Del("code_challenge_method") },
		} {
			got := h.browser().authorize(h.ask(func(q url.Values) {
				q.Set("client_id", id)
				if id == "native" {
					q.Set("redirect_uri", "com.example.app:/cb")
				}
				change(q)
			}))
			if got.query.Get("error") != "invalid_request" || got.query.Has("code") {
				t.Errorf("%s, %s: %s", id, name, got.location)
			}
		}
	}
	for _, verifier := range []string{"", challenge} {
		got := h.token(exchange(h.code(nil), func(f url.Values) { f.Set("code_verifier", verifier) }))
		if got.status != http.StatusBadRequest || got.body["access_token"] != nil {
			t.Errorf("verifier %q: %s", verifier, got.raw)
		}
	}
}

func codeReplay(t *testing.T, h *harness) {
	code := h.code(nil)
	token := h.token(exchange(code, nil)).text("access_token")
	h.advance(5 * time.Minute)
	h.token(exchange(code, nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
	if _, ok := h.good(token); ok {
		t.Error("the token outlived a replay of its code")
	}
}

// A token, a launch and a code stay with the source for which they were made;
// the resource server compares (package gateway).
func substitutedSource(t *testing.T, h *harness) {
	token := h.token(exchange(h.code(func(q url.Values) { q.Set("aud", h.base+"/fhir/other") }), nil))
	if g, ok := h.good(token.text("access_token")); !ok || g.Source != "other" {
		t.Errorf("the token is for %q", g.Source)
	}
	h.people.set(func(p *people) { p.next = "doc" })
	handle := h.launched(`{"patient":"p9"}`)
	h.browser().authorize(h.askLaunched(handle, func(q url.Values) { q.Set("aud", h.base+"/fhir/other") })).wantError(t, "invalid_request")
	b := h.browser()
	for _, aud := range []string{h.base + "/fhir/nowhere", h.base + "/fhir/other/../demo", h.base + "/fhir/demo#"} {
		b.authorize(h.ask(func(q url.Values) { q.Set("aud", aud) })).wantError(t, "invalid_request")
	}
}

func openRedirector(t *testing.T, h *harness) {
	b := h.browser()
	for _, target := range []string{
		"/oauth/authorize?redirect_uri=https://evil.example/&client_id=nobody", "/oauth/authorize?redirect_uri=https://evil.example/&error=x",
		"/oauth/continue?return_to=https://evil.example/", "/oauth/consent?redirect_uri=https://evil.example/", "/oauth/patient?request=//evil.example",
	} {
		if got := b.get(target).want(t, "problem"); got.location != "" {
			t.Errorf("%s leads to %s", target, got.location)
		}
	}
}

func redirectsAre303(t *testing.T, h *harness) {
	b := h.browser()
	b.c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if got := b.post("/oauth/authorize", h.ask(nil)); got.status != http.StatusSeeOther {
		t.Errorf("after the request: %d", got.status)
	}
	whole := h.browser()
	consent := whole.authorize(h.ask(nil)).want(t, "consent")
	if got := whole.post(consent.view.Action, consent.yes()); got.status != http.StatusSeeOther {
		t.Errorf("after the form: %d", got.status)
	}
}

func refreshReuse(t *testing.T, h *harness) {
	first := h.offline()
	second := h.token(refreshWith(first.text("refresh_token"), nil))
	h.token(refreshWith(first.text("refresh_token"), nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.token(refreshWith(second.text("refresh_token"), nil)).wantError(t, http.StatusBadRequest, "invalid_grant")
	if _, ok := h.good(second.text("access_token")); ok {
		t.Error("an access token outlived the reuse")
	}
}

// A client cannot get a token of its own that could be taken for a person's.
func serviceIsNobody(t *testing.T, h *harness) {
	for _, form := range []url.Values{
		{"grant_type": {"client_credentials"}, "client_id": {publicApp}, "scope": {"patient/*.rs"}},
		{"grant_type": {"client_credentials"}, "client_id": {secretApp}, "client_secret": {secretText}, "scope": {"user/*.rs openid"}},
	} {
		if got := h.token(form); got.status < 400 || got.body["access_token"] != nil {
			t.Errorf("%v: %s", form, got.raw)
		}
	}
}

func clickjacking(t *testing.T, h *harness) {
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	for what, r := range map[string]result{"consent": consent, "problem": b.get("/oauth/consent"), "answer": b.post(consent.view.Action, consent.yes())} {
		if r.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s can be framed", what)
		}
	}
}

func pushedSwap(t *testing.T, h *harness) {
	uri := h.pushed(nil)
	if got := h.browser().authorize(pull(uri, func(q url.Values) { q.Set("client_id", "native") })).want(t, "problem"); got.location != "" {
		t.Errorf("leads to %s", got.location)
	}
	// It was not spent by that.
	h.browser().authorize(pull(uri, nil)).want(t, "consent")
}

func pushedPollution(t *testing.T, h *harness) {
	b := h.browser()
	consent := b.authorize(pull(h.pushed(nil), func(q url.Values) {
		q.Set("redirect_uri", "https://evil.example/")
		q.Set("state", "theirs")
		q.Set("code_challenge", strings.Repeat("A", 43))
	})).want(t, "consent")
	done := b.post(consent.view.Action, consent.yes())
	if !strings.HasPrefix(done.location, callback) || done.query.Get("state") != "st" {
		t.Errorf("sent to %s", done.location)
	}
	if got := h.token(exchange(done.query.Get("code"), nil)); got.status != http.StatusOK {
		t.Errorf("the challenge was exchanged: %s", got.raw)
	}
}

func launchReplay(t *testing.T, h *harness) {
	h.people.set(func(p *people) { p.next = "doc" })
	handle := h.launched(`{"patient":"p9"}`)
	h.browser().authorize(h.askLaunched(handle, nil)).want(t, "consent")
	h.browser().authorize(h.askLaunched(handle, nil)).wantError(t, "invalid_request")
}

func launchForAnother(t *testing.T, h *harness) {
	handle := h.launched(`{"patient":"p9","user":"Practitioner/d1"}`)
	h.browser().authorize(h.askLaunched(handle, nil)).wantError(t, "access_denied") // ana came
	if len(h.tokens.Grants()) != 0 {
		t.Error("something was granted")
	}
}
