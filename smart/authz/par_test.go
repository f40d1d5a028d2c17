package authz_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

const requestURN = "urn:ietf:params:oauth:request_uri:"

func (h *harness) push(form url.Values, change func(r *http.Request)) answer {
	h.t.Helper()
	req := h.request(http.MethodPost, "/oauth/par", form)
	if change != nil {
		change(req)
	}
	return h.call(req)
}

// pushed gives the request_uri of a good request.
func (h *harness) pushed(change func(q url.Values)) string {
	h.t.Helper()
	got := h.push(h.ask(change), nil)
	if got.status != http.StatusCreated {
		h.t.Fatalf("%d %s", got.status, got.raw)
	}
	return got.text("request_uri")
}

func pull(uri string, change func(q url.Values)) url.Values {
	q := url.Values{"client_id": {publicApp}, "request_uri": {uri}}
	if change != nil {
		change(q)
	}
	return q
}

func TestPushedRequest(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	state := "a+b %41\xff\x00"
	got := h.push(h.ask(func(q url.Values) { q.Set("state", state) }), nil)
	if got.status != http.StatusCreated || got.body["expires_in"] != 90.0 || len(got.body) != 2 ||
		!strings.HasPrefix(got.text("request_uri"), requestURN) || len(got.text("request_uri")) != len(requestURN)+43 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.header)
	}
	b := h.browser()
	// What stands beside it does not count.
	consent := b.authorize(pull(got.text("request_uri"), func(q url.Values) {
		q.Set("scope", "patient/*.rs")
		q.Set("redirect_uri", "https://evil.example/")
		q.Set("state", "other")
		q["nonce"] = []string{"1", "2"}
	})).want(t, "consent")
	if len(consent.view.Scopes) != 5 {
		t.Errorf("scopes %v", consent.view.Scopes)
	}
	done := b.post(consent.view.Action, consent.yes())
	if !strings.HasPrefix(done.location, callback+"&") || done.query.Get("state") != state {
		t.Fatalf("sent to %s", done.location)
	}
	minted := h.token(exchange(done.query.Get("code"), nil))
	if claimsOf(t, minted.text("id_token"))["nonce"] != "n1" {
		t.Errorf("%s", minted.raw)
	}
	// POST at the authorization endpoint takes it too.
	h.browser().post("/oauth/authorize", pull(h.pushed(nil), nil)).want(t, "consent")
}

func TestAPushedRequestIsGoodOnceForItsClientAndForAMinute(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	uri := h.pushed(nil)
	for name, q := range map[string]url.Values{
		"another client": pull(uri, func(q url.Values) { q.Set("client_id", "native") }),
		"no client":      pull(uri, func(q url.Values) { q.Del("client_id") }),
		"client twice":   pull(uri, func(q url.Values) { q.Add("client_id", publicApp) }),
		"another secret": pull(uri+"x", nil),
		"no secret":      pull(requestURN, nil),
	} {
		if got := h.browser().authorize(q).want(t, "problem"); got.status != http.StatusNotFound && got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.view.Title)
		}
	}
	h.browser().authorize(pull(uri, nil)).want(t, "consent")
	if got := h.browser().authorize(pull(uri, nil)).want(t, "problem"); got.view.Title != "This request is over" || got.status != http.StatusNotFound {
		t.Errorf("a second time: %d %s", got.status, got.view.Title)
	}
	late := h.pushed(nil)
	h.advance(90 * time.Second)
	h.browser().authorize(pull(late, nil)).want(t, "problem")
}

func TestOfTwoWhoPullOneRequestOneWins(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	uri := h.pushed(nil)
	var wg sync.WaitGroup
	pages := make([]string, 8)
	for i := range pages {
		b := h.browser()
		wg.Go(func() { pages[i] = b.authorize(pull(uri, nil)).page })
	}
	wg.Wait()
	if n := strings.Count(strings.Join(pages, " "), "consent"); n != 1 {
		t.Errorf("%d won: %v", n, pages)
	}
}

// One row per refused push, with the exact error (RFC 9126 §2.3).
func TestRefusedPushes(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	without := func(name string) func(url.Values) { return func(q url.Values) { q.Del(name) } }
	for _, c := range []struct {
		name   string
		change func(q url.Values)
		spoil  func(r *http.Request)
		status int
		code   string
	}{
		{"no client", without("client_id"), nil, 401, "invalid_client"},
		{"unknown client", set("client_id", "nobody"), nil, 401, "invalid_client"},
		{"confidential client without secret", set("client_id", secretApp), nil, 401, "invalid_client"},
		{"public client with a secret", set("client_secret", "x"), nil, 401, "invalid_client"},
		{"GET", nil, func(r *http.Request) { r.Method = http.MethodGet }, 405, "invalid_request"},
		{"JSON", nil, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, "invalid_request"},
		{"parameters in the URL", nil, func(r *http.Request) { r.URL.RawQuery = "scope=openid" }, 400, "invalid_request"},
		{"request_uri", set("request_uri", requestURN+"x"), nil, 400, "invalid_request"},
		{"request object", set("request", "e30."), nil, 400, "request_not_supported"},
		{"no redirect_uri", without("redirect_uri"), nil, 400, "invalid_request"},
		{"another redirect_uri", set("redirect_uri", "https://evil.example/"), nil, 400, "invalid_request"},
		{"no response_type", without("response_type"), nil, 400, "invalid_request"},
		{"implicit", set("response_type", "token"), nil, 400, "unsupported_response_type"},
		{"no aud", without("aud"), nil, 400, "invalid_request"},
		{"foreign aud", set("aud", "https://evil.example"), nil, 400, "invalid_request"},
		{"no code_challenge", without("code_challenge"), nil, 400, "invalid_request"},
		{"plain", set("code_challenge_method", "plain"), nil, 400, "invalid_request"},
		{"no scope", without("scope"), nil, 400, "invalid_scope"},
		{"unknown prompt", set("prompt", "create"), nil, 400, "invalid_request"},
		{"max_age that is no number", set("max_age", "x"), nil, 400, "invalid_request"},
		{"scope twice", func(q url.Values) { q.Add("scope", "openid") }, nil, 400, "invalid_request"},
		{"client of another source", set("client_id", "elsewhere"), nil, 400, "unauthorized_client"},
		{"state without end", set("state", strings.Repeat("s", 4097)), nil, 400, "invalid_request"},
		{"scope without end", set("scope", "openid"+strings.Repeat(" patient/Observation.rs", 400)), nil, 400, "invalid_request"},
		{"an unknown parameter without end", set("x", strings.Repeat("x", 24<<10)), nil, 400, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h.push(h.ask(c.change), c.spoil).wantError(t, c.status, c.code)
		})
	}
}

// A confidential client authenticates, and what it pushed goes on without its
// credentials.
func TestAConfidentialClientPushes(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	basic := func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(secretApp), url.QueryEscape(secretText)) }
	for name, got := range map[string]answer{
		"basic": h.push(h.ask(func(q url.Values) { q.Del("client_id") }), basic),
		"post":  h.push(h.ask(func(q url.Values) { q.Set("client_id", secretApp); q.Set("client_secret", secretText) }), nil),
	} {
		if got.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", name, got.status, got.raw)
		}
		h.browser().authorize(pull(got.text("request_uri"), func(q url.Values) { q.Set("client_id", secretApp) })).want(t, "consent")
	}
}

// A launch waits until the request is pulled.
func TestAPushedLaunch(t *testing.T) {
	t.Parallel()
	h := startEHR(t, nil)
	h.people.next = "doc"
	uri := h.push(h.askLaunched(h.launched(`{"patient":"p9"}`), nil), nil).text("request_uri")
	h.browser().authorize(pull(uri, nil)).want(t, "consent")
}

func TestAStoreThatFailsDoesNotLosePushes(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) { o.Pushed = failingPushed{} })
	h.push(h.ask(nil), nil).wantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if got := h.browser().authorize(pull(requestURN+"x", nil)).want(t, "problem"); got.status != http.StatusServiceUnavailable {
		t.Errorf("%d", got.status)
	}
}

// failingPushed is a store that is down.
type failingPushed struct{}

func (failingPushed) CreatePushed(context.Context, authz.Pushed) error {
	return errors.New("disk full")
}

func (failingPushed) UsePushed(context.Context, token.Digest, string, time.Time) (authz.Pushed, error) {
	return authz.Pushed{}, errors.New("disk full")
}

// Nobody has signed in yet, so whoever fills the disk would be nobody.
func TestOneAddressBeginsSoManyRequestsInAMinute(t *testing.T) {
	t.Parallel()
	addr := "192.0.2.1"
	h := start(t, func(_ *harness, o *authz.Options) { o.Addr = func(*http.Request) string { return addr } })
	for range 300 {
		h.browser().authorize(h.ask(nil)).want(t, "consent")
		h.pushed(nil)
	}
	kept := h.pending.Count()
	h.browser().authorize(h.ask(nil)).wantError(t, "temporarily_unavailable")
	h.push(h.ask(nil), nil).wantError(t, http.StatusTooManyRequests, "temporarily_unavailable")
	if n := h.pending.Count(); n != kept {
		t.Errorf("%d requests are kept, want %d", n, kept)
	}
	addr = "192.0.2.2"
	h.browser().authorize(h.ask(nil)).want(t, "consent")
	addr = "192.0.2.1"
	h.advance(time.Minute)
	h.browser().authorize(h.ask(nil)).want(t, "consent")
}
