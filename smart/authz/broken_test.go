package authz_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
	"github.com/portico-fhir/portico/smart/token"
)

// switching is a registry whose clients can be suspended, and that can break.
type switching struct {
	client.Registry
	t         *testing.T
	mu        sync.Mutex
	suspended bool
	err       error
}

func (s *switching) suspend(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspended = on
}

func (s *switching) Client(ctx context.Context, id string) (client.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return client.Client{}, s.err
	}
	if s.suspended {
		return client.Client{}, client.ErrUnknown
	}
	return s.Registry.Client(ctx, id)
}

// breaking is a token store of which one step can fail.
type breaking struct {
	token.Store
	step string
}

var errDisk = errors.New("disk full at /var/secret")

func (b *breaking) CreateGrant(ctx context.Context, g token.Grant, c token.Code) error {
	if b.step == "grant" {
		return errDisk
	}
	return b.Store.CreateGrant(ctx, g, c)
}

func (b *breaking) UseCode(ctx context.Context, d token.Digest, now time.Time) (token.Code, token.Grant, error) {
	if b.step == "code" {
		return token.Code{}, token.Grant{}, errDisk
	}
	return b.Store.UseCode(ctx, d, now)
}

func (b *breaking) CreateAccess(ctx context.Context, grant string, a token.Access) error {
	switch b.step {
	case "access":
		return errDisk
	case "revoked":
		return token.ErrNotFound
	}
	return b.Store.CreateAccess(ctx, grant, a)
}

func broken(t *testing.T, step string) *harness {
	t.Helper()
	return start(t, func(h *harness, _ *authz.Options) { h.store = &breaking{Store: h.tokens, step: step} })
}

func TestTokenEndpointWithBrokenPartsGivesNothingAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step   string
		status int
		code   string
	}{
		{"code", http.StatusServiceUnavailable, "temporarily_unavailable"},
		{"access", http.StatusServiceUnavailable, "temporarily_unavailable"},
		{"revoked", http.StatusBadRequest, "invalid_grant"},
	} {
		h := broken(t, c.step)
		got := h.token(exchange(h.code(nil), nil))
		got.wantError(t, c.status, c.code)
		if strings.Contains(got.raw, "disk") {
			t.Errorf("%s: the cause leaks: %s", c.step, got.raw)
		}
		if left := len(h.tokens.Grants()); c.step != "code" && left != 0 {
			t.Errorf("%s: a grant without token is left", c.step)
		}
	}

	registry := &switching{}
	h := start(t, func(_ *harness, o *authz.Options) { registry.Registry = o.Clients; o.Clients = registry })
	code := h.code(nil)
	registry.err = errDisk
	h.token(exchange(code, nil)).wantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if got := h.browser().authorize(h.ask(nil)).want(t, "problem"); got.status != http.StatusServiceUnavailable {
		t.Errorf("authorize: %d", got.status)
	}
}

// No record of it, no token and no grant.
func TestWithoutRecorderNothingIsGranted(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(nil)
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	deny := b.authorize(h.ask(nil)).want(t, "consent")
	h.audit.fail(errDisk)

	h.token(exchange(code, nil)).wantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	b.post(consent.view.Action, consent.yes()).wantError(t, "temporarily_unavailable")
	if n := len(h.tokens.Grants()); n != 0 {
		t.Errorf("%d grants nobody can account for", n)
	}
	// A no needs no record to be kept.
	form := deny.yes()
	form.Set("decision", "deny")
	b.post(deny.view.Action, form).wantError(t, "access_denied")
}

func TestPagesWithBrokenPartsSayNothingOfTheCause(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	b := h.browser()
	consent := b.authorize(h.ask(nil)).want(t, "consent")
	h.people.set(func(p *people) { p.err = errDisk })
	fresh := h.browser()
	for name, got := range map[string]result{"records": b.get(consent.view.Action), "sign-in": fresh.authorize(h.ask(nil))} {
		got.want(t, "problem")
		if got.status != http.StatusServiceUnavailable || strings.Contains(got.view.Title+got.view.Detail, "disk") {
			t.Errorf("%s: %d %s %s", name, got.status, got.view.Title, got.view.Detail)
		}
	}
	h = broken(t, "grant")
	b = h.browser()
	consent = b.authorize(h.ask(nil)).want(t, "consent")
	done := b.post(consent.view.Action, consent.yes())
	done.wantError(t, "temporarily_unavailable")
	if strings.Contains(done.location, "disk") {
		t.Errorf("the cause leaks: %s", done.location)
	}
}

// brokenPages cannot draw anything.
type brokenPages struct{ jsonPages }

func (brokenPages) Problem(http.ResponseWriter, *http.Request, authz.ProblemView) error {
	return errDisk
}

func TestProblemThatCannotBeDrawnIsStillAnswered(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) { o.Pages = brokenPages{} })
	rec := httptest.NewRecorder()
	h.http.Config.Handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/oauth/authorize?client_id=x", nil))
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "disk") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	good := func() authz.Options {
		registry, err := client.NewStatic(client.Options{Clients: clients()})
		if err != nil {
			t.Fatal(err)
		}
		return authz.Options{
			Issuer: "https://portico.example", Sources: []authz.Source{{ID: "demo", Name: "Demo", Base: "https://portico.example/fhir/demo"}},
			Clients: registry, Tokens: h.tokens, Signer: h.signer, Pending: h.pending, SignIn: h.people, Patients: h.people,
			Pages: jsonPages{}, Recorder: h.audit, Pushed: &authztest.Pushed{}, Answered: &authztest.Answers{}, Refresh: h.tokens, Singles: h.tokens, Sessions: h.people, Keys: client.NewKeys(nil, h.Now), Used: &clienttest.Used{},
		}
	}
	if _, err := authz.New(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(o *authz.Options){
		"no issuer":                func(o *authz.Options) { o.Issuer = "" },
		"issuer with a slash":      func(o *authz.Options) { o.Issuer += "/" },
		"issuer with a query":      func(o *authz.Options) { o.Issuer += "?x" },
		"issuer with a fragment":   func(o *authz.Options) { o.Issuer += "#" },
		"issuer with a user":       func(o *authz.Options) { o.Issuer = "https://u@portico.example" },
		"relative issuer":          func(o *authz.Options) { o.Issuer = "/portico" },
		"issuer of another scheme": func(o *authz.Options) { o.Issuer = "ftp://portico.example" },
		"no sources":               func(o *authz.Options) { o.Sources = nil },
		"source without id":        func(o *authz.Options) { o.Sources[0].ID = "" },
		"source without name":      func(o *authz.Options) { o.Sources[0].Name = "" },
		"source with a slash":      func(o *authz.Options) { o.Sources[0].Base += "/" },
		"two sources of one id": func(o *authz.Options) {
			o.Sources = append(o.Sources, authz.Source{ID: "demo", Name: "x", Base: "https://x.example"})
		},
		"two sources of one base": func(o *authz.Options) {
			o.Sources = append(o.Sources, authz.Source{ID: "x", Name: "x", Base: o.Sources[0].Base})
		},
		"no clients":                            func(o *authz.Options) { o.Clients = nil },
		"no tokens":                             func(o *authz.Options) { o.Tokens = nil },
		"no signer":                             func(o *authz.Options) { o.Signer = nil },
		"no pending":                            func(o *authz.Options) { o.Pending = nil },
		"no sign-in":                            func(o *authz.Options) { o.SignIn = nil },
		"no patients":                           func(o *authz.Options) { o.Patients = nil },
		"no pages":                              func(o *authz.Options) { o.Pages = nil },
		"no recorder":                           func(o *authz.Options) { o.Recorder = nil },
		"tokens of a minute":                    func(o *authz.Options) { o.AccessTTL = time.Minute },
		"tokens of a day":                       func(o *authz.Options) { o.AccessTTL = 24 * time.Hour },
		"grants of a second":                    func(o *authz.Options) { o.GrantTTL = time.Second },
		"no pushed requests":                    func(o *authz.Options) { o.Pushed = nil },
		"no sessions":                           func(o *authz.Options) { o.Sessions = nil },
		"no single tokens":                      func(o *authz.Options) { o.Singles = nil },
		"no client keys":                        func(o *authz.Options) { o.Keys = nil },
		"no used assertions":                    func(o *authz.Options) { o.Used = nil },
		"no refresh tokens":                     func(o *authz.Options) { o.Refresh = nil },
		"refreshing for less than three months": func(o *authz.Options) { o.RefreshTTL = 91 * day },
		"sessions of less than nothing":         func(o *authz.Options) { o.SessionTTL = -1 },
	} {
		o := good()
		spoil(&o)
		if _, err := authz.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLifetimesFollowTheOptions(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) { o.AccessTTL = 20 * time.Minute })
	got := h.token(exchange(h.code(nil), nil))
	if got.body["expires_in"] != float64(1200) {
		t.Errorf("expires_in: %s", got.raw)
	}
	h = start(t, func(_ *harness, o *authz.Options) { o.GrantTTL = 10 * time.Minute })
	code := h.code(nil)
	h.advance(30 * time.Second)
	got = h.token(exchange(code, nil))
	if got.body["expires_in"] != float64(570) {
		t.Errorf("a token must not outlive its grant: %s", got.raw)
	}
}

func TestPathOfTheIssuerIsInFrontOfEveryLocalPath(t *testing.T) {
	t.Parallel()
	h := start(t, func(h *harness, o *authz.Options) { o.Issuer = h.base + "/portico" })
	b := h.browser()
	b.c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got := b.authorize(h.ask(func(q url.Values) {}))
	if !strings.HasPrefix(got.location, "/portico/oauth/continue?request=") {
		t.Errorf("location %s", got.location)
	}
}
