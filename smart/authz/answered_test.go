package authz_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

func TestAFormSentAgainGetsTheSameAnswer(t *testing.T) {
	for _, decision := range []string{"allow", "deny"} {
		t.Run(decision, func(t *testing.T) {
			h := start(t, nil)
			b := h.browser()
			at := b.authorize(h.ask(nil)).want(t, "consent")
			form := at.yes()
			form.Set("decision", decision)
			first := b.post(at.view.Action, form)
			if first.location == "" {
				t.Fatalf("status %d", first.status)
			}
			events := h.audit.what()
			h.advance(50 * time.Second)
			if again := b.post(at.view.Action, form); again.location != first.location || again.status != http.StatusSeeOther {
				t.Errorf("the second answer: %d %q, want %q", again.status, again.location, first.location)
			}
			if got := h.audit.what(); got != events {
				t.Errorf("recorded %q, then %q", events, got)
			}
			// Another decision comes too late, and is not answered as the first.
			other := at.yes()
			other.Set("decision", map[string]string{"allow": "deny", "deny": "allow"}[decision])
			if got := b.post(at.view.Action, other); got.location != "" || got.status != http.StatusConflict {
				t.Errorf("another decision: %d %q", got.status, got.location)
			}
			// Nobody else gets it.
			stranger := h.browser()
			stranger.authorize(h.ask(nil)).want(t, "consent")
			if got := stranger.post(at.view.Action, form); got.location != "" || got.status != http.StatusNotFound {
				t.Errorf("another browser: %d %q", got.status, got.location)
			}
			h.advance(11 * time.Second)
			if late := b.post(at.view.Action, form); late.location != "" || late.status != http.StatusNotFound {
				t.Errorf("after a minute: %d %q", late.status, late.location)
			}
		})
	}
}

// A second use of a code would end the grant, so a code that the app has tried
// is not sent again.
func TestAUsedCodeIsNotSentAgain(t *testing.T) {
	h := start(t, nil)
	b := h.browser()
	at := b.authorize(h.ask(nil)).want(t, "consent")
	form := at.yes()
	code := b.post(at.view.Action, form).query.Get("code")
	got := h.token(exchange(code, nil))
	if got.status != http.StatusOK {
		t.Fatalf("exchange: %d %s", got.status, got.raw)
	}
	again := b.post(at.view.Action, form)
	if again.want(t, "problem"); again.location != "" || again.view.Title != "You have answered already" {
		t.Errorf("%q %q", again.location, again.view.Title)
	}
	if _, ok := h.good(got.text("access_token")); !ok {
		t.Error("the grant has ended")
	}
}

func TestAFormSentTwiceAtOnceIsOneDecision(t *testing.T) {
	h := start(t, nil)
	b := h.browser()
	at := b.authorize(h.ask(nil)).want(t, "consent")
	form := at.yes()
	locations := make([]string, 8)
	var wg sync.WaitGroup
	for i := range locations {
		wg.Go(func() { locations[i] = b.post(at.view.Action, form).location })
	}
	wg.Wait()
	for _, l := range locations {
		if l == "" || l != locations[0] {
			t.Errorf("answers %q", locations)
			break
		}
	}
	if h.audit.what() != "granted" {
		t.Errorf("recorded %q", h.audit.what())
	}
}

// The no on the page to choose is one answer too.
func TestANoSentAgain(t *testing.T) {
	h := start(t, nil)
	h.people.set(func(p *people) { p.next = "bo" })
	b := h.browser()
	at := b.authorize(h.ask(nil)).want(t, "choose")
	no := url.Values{"csrf": {at.view.CSRF}, "decision": {"deny"}}
	first := b.post(at.view.Action, no)
	if again := b.post(at.view.Action, no); first.location == "" || again.location != first.location {
		t.Errorf("%q, then %q", first.location, again.location)
	}
}
