package authz_test

import (
	"net/http"
	"net/url"
	"testing"
)

// Who signs out in the middle comes back to sign in as somebody else, is asked
// to prove who they are, and is not suggested the one who was there.
func TestSigningOutLeadsToSigningInAsSomebodyElse(t *testing.T) {
	h := start(t, nil)
	b := h.browser()
	at := b.authorize(h.ask(func(q url.Values) { q.Set("login_hint", "ana@example.org") })).want(t, "consent")
	if at.view.SignOut == "" {
		t.Fatal("no way to sign out")
	}
	h.people.set(func(p *people) { delete(p.known, "ana"); p.next = "bo" }) // signed out
	then := b.get(at.view.SignOut).want(t, "choose")
	if then.view.Person != "Bo" {
		t.Errorf("now signed in: %q", then.view.Person)
	}
	if asked := h.people.asked; !asked.Login || asked.LoginHint != "" {
		t.Errorf("the provider was asked %+v", asked)
	}
	if then.view.SignOut == "" {
		t.Error("no way to sign out on the page to choose")
	}
}

func TestWaysToSayNoBeforeConsent(t *testing.T) {
	for who, page := range map[string]string{"bo": "choose", "nil": "problem"} {
		t.Run(page, func(t *testing.T) {
			h := start(t, nil)
			h.people.set(func(p *people) { p.next = who })
			b := h.browser()
			at := b.authorize(h.ask(nil)).want(t, page)
			action, csrf, returnTo := at.view.Action, at.view.CSRF, at.view.ReturnTo
			if page == "problem" {
				if at.view.Leave == nil || at.view.SignOut == "" || at.view.Leave.App != "App" {
					t.Fatalf("view %+v", at.view)
				}
				action, csrf, returnTo = at.view.Leave.Action, at.view.Leave.CSRF, at.view.Leave.ReturnTo
			}
			if returnTo != "https://app.example" {
				t.Errorf("the form leads to %q", returnTo)
			}
			forged := b.post(action, url.Values{"csrf": {"x"}, "decision": {"deny"}})
			if forged.status != http.StatusForbidden {
				t.Errorf("a forged no: %d", forged.status)
			}
			done := b.post(action, url.Values{"csrf": {csrf}, "decision": {"deny"}})
			if done.query.Get("error") != "access_denied" || done.query.Get("state") != "st" || done.query.Get("iss") != h.base {
				t.Errorf("answered %s", done.location)
			}
			if h.audit.what() != "denied" {
				t.Errorf("recorded %q", h.audit.what())
			}
		})
	}
	// Who has records cannot be made to choose one they do not have.
	h := start(t, nil)
	h.people.set(func(p *people) { p.next = "nil" })
	b := h.browser()
	at := b.authorize(h.ask(nil)).want(t, "problem")
	if got := b.post(at.view.Leave.Action, url.Values{"csrf": {at.view.Leave.CSRF}, "patient": {"p1"}}); got.status != http.StatusForbidden {
		t.Errorf("a patient of somebody else: %d", got.status)
	}
}

// Who cannot sign in gets back to the app, which learns that nobody came.
func TestGivingUpAtTheSignIn(t *testing.T) {
	h := start(t, nil)
	h.people.set(func(p *people) { p.next = "" })
	b := h.browser()
	b.authorize(h.ask(nil)).want(t, "problem")
	leave := h.people.asked.Leave
	if stranger := h.browser().get(leave); stranger.status != http.StatusForbidden {
		t.Errorf("in another browser: %d", stranger.status)
	}
	done := b.get(leave)
	done.wantError(t, "access_denied")
	if again := b.get(leave); again.status != http.StatusNotFound {
		t.Errorf("a second time: %d", again.status)
	}
}
