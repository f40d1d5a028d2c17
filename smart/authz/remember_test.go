package authz_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

// agree answers the consent page, with some boxes unticked.
func agree(t *testing.T, h *harness, b *browser, change func(url.Values), untick ...string) string {
	t.Helper()
	page := b.authorize(h.ask(change)).want(t, "consent")
	form := page.yes()
	for _, value := range untick {
		for _, name := range []string{"scope", "part"} {
			var kept []string
			for _, v := range form[name] {
				if v != value {
					kept = append(kept, v)
				}
			}
			form[name] = kept
		}
	}
	code := b.post(page.view.Action, form).query.Get("code")
	if code == "" {
		t.Fatal("no code")
	}
	return h.token(exchange(code, nil)).text("scope")
}

func TestADecisionIsRememberedForTheSameQuestion(t *testing.T) {
	t.Parallel()
	const asked = "openid offline_access patient/Observation.rs patient/Condition.rs"
	for _, c := range []struct{ name, again, want string }{
		{"the same without staying connected", "openid patient/Observation.rs patient/Condition.rs", "openid patient/Condition.rs patient/Observation.rs" + labs},
		{"in another order", "patient/Condition.rs openid patient/Observation.rs", "openid patient/Condition.rs patient/Observation.rs" + labs},
		{"less", "openid patient/Condition.rs", "openid patient/Condition.rs"},
		{"a letter less", "patient/Condition.r", "patient/Condition.r"},
		{"a part of what is remembered", "patient/Observation.rs" + labs, "patient/Observation.rs" + labs},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := choosing(t, nil)
			b := h.browser()
			first := agree(t, h, b, asking(asked), "patient/Observation.rs"+vitals)
			if want := "openid offline_access patient/Observation.rs" + labs + " patient/Condition.rs"; first != want {
				t.Fatalf("first %q, want %q", first, want)
			}
			end := h.tokens.Grants()[0].Expires
			h.advance(time.Minute)
			done := b.authorize(h.ask(asking(c.again)))
			code := done.query.Get("code")
			if code == "" {
				t.Fatalf("asked again: page %q", done.page)
			}
			if got := h.token(exchange(code, nil)); got.text("scope") != c.want {
				t.Errorf("granted %q, want %q", got.text("scope"), c.want)
			}
			for _, g := range h.tokens.Grants() {
				if g.Expires.After(end) {
					t.Error("what was remembered lasts longer than what was agreed to")
				}
			}
			if got := h.audit.what(); got != "granted code-exchanged granted code-exchanged" {
				t.Errorf("recorded %q", got)
			}
		})
	}
}

func TestPeopleAreAskedAgain(t *testing.T) {
	t.Parallel()
	const asked = "openid patient/Observation.rs patient/Condition.rs"
	ask := func(change func(url.Values)) func(url.Values) {
		return func(q url.Values) {
			asking(asked)(q)
			if change != nil {
				change(q)
			}
		}
	}
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for _, c := range []struct {
		name   string
		first  func(url.Values)
		second func(url.Values)
		untick []string
		change func(h *harness)
	}{
		{name: "when the app wishes", second: ask(set("prompt", "consent"))},
		{name: "when one more type is asked for", second: ask(set("scope", asked+" patient/Patient.rs"))},
		{name: "when more letters could be granted", first: ask(set("scope", "patient/Condition.r")), second: ask(set("scope", "patient/Condition.rs"))},
		{name: "when the whole is asked for after a part", first: ask(set("scope", "patient/Observation.rs"+labs)), second: ask(set("scope", "patient/Observation.rs"))},
		{name: "when another part is asked for", first: ask(set("scope", "patient/Observation.rs"+labs)), second: ask(set("scope", "patient/Observation.rs"+vitals))},
		{name: "when everything is asked for after types", second: ask(set("scope", "patient/*.rs"))},
		{name: "when the app wants to stay connected", second: ask(set("scope", asked+" offline_access"))},
		{name: "when the app wants to stay connected once more", first: ask(set("scope", asked+" offline_access")), second: ask(set("scope", asked+" offline_access"))},
		{name: "when only what was refused is asked for", untick: []string{"patient/Observation.rs"}, second: ask(set("scope", "openid patient/Observation.rs"))},
		{name: "when the grant was revoked", change: func(h *harness) {
			for _, g := range h.tokens.Grants() {
				if err := h.tokens.RevokeGrant(t.Context(), g.ID, h.Now()); err != nil {
					t.Error(err)
				}
			}
		}},
		{name: "when the grant is over", change: func(h *harness) { h.advance(61 * time.Minute) }},
		{name: "when another app asks", second: ask(func(q url.Values) { q.Set("client_id", secretApp) })},
		{name: "when another person sits there", change: func(h *harness) {
			h.people.set(func(p *people) {
				p.patients["nil"] = p.patients["ana"]
				p.known["ana"] = p.known["nil"]
			})
		}},
		{name: "when it is about another source", second: ask(func(q url.Values) { q.Set("aud", strings.Replace(q.Get("aud"), "demo", "other", 1)) })},
		{name: "when the app could be another on the same device", first: ask(native), second: ask(native)},
		{name: "when the answer goes to this very device", first: ask(loopback), second: ask(loopback)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := choosing(t, nil)
			b := h.browser()
			first, second := c.first, c.second
			if first == nil {
				first = ask(nil)
			}
			if second == nil {
				second = ask(nil)
			}
			page := b.authorize(h.ask(first)).want(t, "consent")
			form := page.yes()
			for _, value := range c.untick {
				form["scope"] = strings.Fields(strings.ReplaceAll(strings.Join(form["scope"], " "), value, ""))
			}
			if b.post(page.view.Action, form).query.Get("code") == "" {
				t.Fatal("no code")
			}
			if c.change != nil {
				c.change(h)
			}
			b.authorize(h.ask(second)).want(t, "consent")
		})
	}
}

func native(q url.Values) {
	q.Set("client_id", "native")
	q.Set("redirect_uri", "com.example.app:/cb")
}

func loopback(q url.Values) {
	q.Set("client_id", "native")
	q.Set("redirect_uri", "http://127.0.0.1:4711/cb")
}

func TestWithoutAMemoryPeopleAreAskedEachTime(t *testing.T) {
	t.Parallel()
	h := choosing(t, func(_ *harness, o *authz.Options) { o.Decisions = nil })
	b := h.browser()
	agree(t, h, b, nil)
	b.authorize(h.ask(nil)).want(t, "consent")
}
