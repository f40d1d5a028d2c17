package login_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/internal/fault"
)

// withDemo is Portico in front of the demo's provider, which serves sources
// north and south.
func withDemo(t *testing.T, change func(*parts)) *site {
	t.Helper()
	p := &parts{}
	if change != nil {
		change(p)
	}
	srv, public := listen(t, p.tls)
	issuer, at := demo(t, public+"/login/callback")
	// The demo's provider lives in real time.
	return open(t, srv, public, &clock{at: time.Now()}, change, login.Provider{
		ID: "health", Name: "Harbor Health", Issuer: issuer, ClientID: "portico", ClientSecret: "s3cret",
		Scopes: []string{"profile", "email"}, Sources: []string{"north", "south"}, Claims: []string{"fhirUser"}, HTTPClient: at.Client(),
	})
}

func TestSignInWithPasswordAndWithOneClick(t *testing.T) {
	for name, form := range map[string]url.Values{"password": password("Maria ", "pw-maria"), "one click": click("maria")} {
		t.Run(name, func(t *testing.T) {
			s := withDemo(t, nil)
			b := newBrowser(t, s.Server)
			if who := s.who(b, "north"); !strings.HasPrefix(who, "false") {
				t.Fatalf("before signing in: %s", who)
			}
			b.signIn(b.get(s.begin("north", "/oauth/continue?id=a%20b&x=1")), form).want(t, 200, "ARRIVED /oauth/continue?id=a%20b&x=1")
			if who := s.who(b, "north"); !strings.HasPrefix(who, "true demo-maria Maria Delgado http://127.0.0.1:") {
				t.Errorf("after signing in: %s", who)
			}
			if len(s.enroller.calls) != 2 || s.enroller.calls[0].person.Subject != "demo-maria" {
				t.Fatalf("the enroller was told %v", len(s.enroller.calls))
			}
			claims := s.enroller.calls[0].claims
			if diff := cmp.Diff([]any{"Patient/p1", "RelatedPerson/r1"}, claims["fhirUser"]); diff != "" {
				t.Errorf("fhirUser: %s", diff)
			}
			if claims["email"] != "maria@example.org" {
				t.Errorf("email: %v", claims["email"])
			}
		})
	}
}

func TestWrongPasswordSignsNobodyIn(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	for _, form := range []url.Values{password("maria", "pw-noah"), password("nobody", ""), password("", ""), click("nobody")} {
		b.signIn(b.get(s.begin("north", "/x")), form).want(t, 422, "do not belong together")
	}
	if s.sessions.Len() != 0 {
		t.Error("there is a session")
	}
}

func TestReturnToLeadsNowhereElse(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	for _, to := range []string{
		"", "https://evil.example/", "//evil.example/", `/\evil.example/`, `\/evil.example`, "/\t/evil.example", "/\n/evil.example", " /x", "/ /x",
		"javascript:alert(1)", "evil.example", "/x#fragment", "/\x00", "/é", "/%2f\r\nSet-Cookie: a=b", "/%", "/" + strings.Repeat("a", 1000), "http:/x", "?x", "/%2fevil.example",
	} {
		if p := b.step(s.begin("north", to)); p.status != http.StatusTeapot || p.header.Get("Set-Cookie") != "" {
			t.Errorf("Start took %q: %d to %s", to, p.status, p.header.Get("Location"))
		}
		address := s.URL + "/login/start?" + url.Values{"source": {"north"}, "return_to": {to}}.Encode()
		if p := b.step(address); p.status != http.StatusBadRequest || !strings.HasPrefix(p.body, "PROBLEM") || strings.Contains(p.body, "evil") {
			t.Errorf("/login/start took %q: %d %s", to, p.status, p.body)
		}
	}
	for _, to := range []string{"/", "/oauth/continue?id=1", "/a//b", "/%20", "/x?u=https://app.example/"} {
		if p := b.step(s.begin("north", to)); p.status != http.StatusSeeOther {
			t.Errorf("Start refused %q: %s", to, p.body)
		}
	}
}

func TestUnknownSourceOrProviderStartsNothing(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	b.step(s.begin("west", "/x")).want(t, http.StatusTeapot, "")
	b.get(s.URL+"/login/start?source=west&return_to=/x").want(t, 404, "no such place")
	b.get(s.URL+"/login/start?source=north&provider=other&return_to=/x").want(t, 404, "no such place")
	if p := b.post(s.URL+"/login/start?source=north&return_to=/x", nil); p.status != http.StatusMethodNotAllowed {
		t.Errorf("POST /login/start gave %d", p.status)
	}
}

func TestCallbackOfAnotherBrowserIsRefused(t *testing.T) {
	s := withDemo(t, nil)
	attacker, victim := newBrowser(t, s.Server), newBrowser(t, s.Server)
	callback := attackersCallback(t, s, attacker)
	victim.get(callback).want(t, 400, "began in another browser")
	if who := s.who(victim, "north"); !strings.HasPrefix(who, "false") {
		t.Errorf("the victim is now %s", who)
	}
	// Not even while the victim is signing in.
	victim.get(s.begin("north", "/x"))
	victim.get(callback).want(t, 400, "began in another browser")
	if s.sessions.Len() != 0 {
		t.Error("there is a session")
	}
}

// attackersCallback signs noah in and stops before the callback is visited.
func attackersCallback(t *testing.T, s *site, b *browser) string {
	t.Helper()
	c := *b.Client
	c.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(req.URL.Path, "/login/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	stopping := &browser{t, &c}
	p := stopping.signIn(stopping.get(s.begin("north", "/x")), click("noah"))
	callback := p.header.Get("Location")
	if !strings.HasPrefix(callback, s.URL+"/login/callback?") {
		t.Fatalf("no callback but %d %s", p.status, callback)
	}
	return callback
}

func TestReplayedCallbackIsRefused(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	callback := attackersCallback(t, s, b)
	site, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	before := b.Jar.Cookies(site)
	b.get(callback).want(t, 200, "ARRIVED /x")
	b.get(callback).want(t, 400, "It was finished")
	// Somebody who has copied cookie and URL meets the provider's refusal: the
	// code is used up.
	thief := newBrowser(t, s.Server)
	thief.Jar.SetCookies(site, before)
	thief.get(callback).want(t, 400, "no longer accepts")
	if s.sessions.Len() != 1 {
		t.Errorf("there are %d sessions, want the first only", s.sessions.Len())
	}
}

func TestStateMustBeTheOneOfThisBrowser(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	callback, err := url.Parse(attackersCallback(t, s, b))
	if err != nil {
		t.Fatal(err)
	}
	good := callback.Query()
	for name, change := range map[string]func(url.Values){
		"another":   func(q url.Values) { q.Set("state", "."+q.Get("state")[1:]) },
		"none":      func(q url.Values) { q.Del("state") },
		"empty":     func(q url.Values) { q.Set("state", "") },
		"repeated":  func(q url.Values) { q.Add("state", q.Get("state")) },
		"two codes": func(q url.Values) { q.Add("code", "x") },
	} {
		q := url.Values{"state": good["state"], "code": good["code"]}
		q = cloneValues(q)
		change(q)
		if p := b.get(s.URL + "/login/callback?" + q.Encode()); p.status != 400 || s.sessions.Len() != 0 {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	b.get(callback.String()).want(t, 200, "ARRIVED /x") // nothing of that spoiled the good one
}

func cloneValues(v url.Values) url.Values { return url.Values(http.Header(v).Clone()) }

func TestTooLateIsTooLate(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	callback := attackersCallback(t, s, b)
	s.clock.add(10*time.Minute + time.Second)
	b.get(callback).want(t, 400, "left open for too long")
}

func TestSeveralTabsSignInWithoutDisturbingEachOther(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	one, two := b.get(s.begin("north", "/one")), b.get(s.begin("south", "/two"))
	b.signIn(one, click("maria")).want(t, 200, "ARRIVED /one")
	b.signIn(two, click("noah")).want(t, 200, "ARRIVED /two")
	if who := s.who(b, "south"); !strings.HasPrefix(who, "true demo-noah") {
		t.Errorf("who: %s", who)
	}
	if s.sessions.Len() != 1 {
		t.Errorf("%d sessions, want the last only", s.sessions.Len())
	}
}

func TestAbandonedSignInsDoNotFillTheBrowser(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	site, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	b.Jar.SetCookies(site, []*http.Cookie{{Name: "portico-signin-0123456789abcdef", Value: "junk"}})
	for range 20 {
		b.step(s.begin("north", "/x"))
		s.clock.add(time.Second)
	}
	if n := len(b.Jar.Cookies(site)); n != 6 {
		t.Errorf("the browser holds %d cookies, want 6", n)
	}
	for _, c := range b.Jar.Cookies(site) {
		if c.Value == "junk" {
			t.Error("junk stayed")
		}
	}
	b.signIn(b.get(s.begin("north", "/last")), click("maria")).want(t, 200, "ARRIVED /last")
}

func TestSessionFixation(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	site, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	// A planted id is not taken over.
	b.Jar.SetCookies(site, []*http.Cookie{{Name: "portico", Value: "planted"}})
	b.signIn(b.get(s.begin("north", "/x")), click("maria")).want(t, 200, "ARRIVED")
	first := sessionCookie(t, b, site)
	if first == "planted" || len(first) != 43 {
		t.Fatalf("the session id is %q", first)
	}
	if _, err := s.sessions.Session(t.Context(), sha256.Sum256([]byte("planted")), s.clock.Now(), time.Time{}); !errors.Is(err, login.ErrNoSession) {
		t.Error("the planted id is a session")
	}
	// Each sign-in has an id of its own and ends the session before it.
	b.signIn(b.get(s.begin("north", "/x")), click("maria")).want(t, 200, "ARRIVED")
	if second := sessionCookie(t, b, site); second == first || s.sessions.Len() != 1 {
		t.Errorf("the id stayed, or %d sessions live", s.sessions.Len())
	}
	old := newBrowser(t, s.Server)
	old.Jar.SetCookies(site, []*http.Cookie{{Name: "portico", Value: first}})
	if who := s.who(old, "north"); !strings.HasPrefix(who, "false") {
		t.Errorf("the old id is still good: %s", who)
	}
}

func sessionCookie(t *testing.T, b *browser, site *url.URL) string {
	t.Helper()
	for _, c := range b.Jar.Cookies(site) {
		if c.Name == "portico" {
			return c.Value
		}
	}
	t.Fatal("no session cookie")
	return ""
}

func TestSessionEnds(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	b.signIn(b.get(s.begin("north", "/x")), click("maria"))
	for range 4 { // in use, it lives on past the idle limit
		s.clock.add(14 * time.Minute)
		if who := s.who(b, "north"); !strings.HasPrefix(who, "true") {
			t.Fatal("a session in use ended")
		}
	}
	s.clock.add(15 * time.Minute)
	if who := s.who(b, "north"); !strings.HasPrefix(who, "false") {
		t.Error("an idle session is still good")
	}
	b.signIn(b.get(s.begin("north", "/x")), click("maria"))
	for range 8 * 6 {
		s.clock.add(10 * time.Minute)
		if who := s.who(b, "north"); s.clock.Now().IsZero() || who == "" {
			t.Fatal("no answer")
		}
	}
	if who := s.who(b, "north"); !strings.HasPrefix(who, "false") {
		t.Error("a session outlived its absolute limit")
	}
}

func TestSessionCookieOverTLSHasTheHostPrefix(t *testing.T) {
	s := withDemo(t, func(p *parts) { p.tls = true })
	b := newBrowser(t, s.Server)
	started := b.step(s.begin("north", "/x"))
	checkCookie(t, started.header["Set-Cookie"], "__Host-portico-signin-", "; Max-Age=600")
	done := b.step(attackersCallback(t, s, b))
	checkCookie(t, done.header["Set-Cookie"], "__Host-portico=", "")
	if done.header.Get("Cache-Control") != "no-store" || done.header.Get("Location") != s.URL+"/x" {
		t.Errorf("the callback's answer: %v", done.header)
	}
	// A cookie without the prefix, which another site of the domain could set,
	// is no session.
	site, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Jar.Cookies(site) {
		if c.Name == "__Host-portico" {
			other := newBrowser(t, s.Server)
			other.Jar.SetCookies(site, []*http.Cookie{{Name: "portico", Value: c.Value}})
			if who := s.who(other, "north"); !strings.HasPrefix(who, "false") {
				t.Error("an unprefixed cookie was taken")
			}
		}
	}
}

// checkCookie looks for exactly one live cookie with the prefix, with all its
// attributes.
func checkCookie(t *testing.T, cookies []string, prefix, age string) {
	t.Helper()
	found := 0
	for _, c := range cookies {
		if !strings.HasPrefix(c, prefix) || strings.Contains(c, "Max-Age=0") {
			continue
		}
		found++
		_, attributes, _ := strings.Cut(c, ";")
		if want := " Path=/" + age + "; HttpOnly; Secure; SameSite=Lax"; attributes != want {
			t.Errorf("attributes %q, want %q", attributes, want)
		}
	}
	if found != 1 {
		t.Errorf("%d cookies with %s in %d", found, prefix, len(cookies))
	}
}

func TestTwoSessionCookiesAreNobody(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	b.signIn(b.get(s.begin("north", "/x")), click("maria"))
	site, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, s.URL+"/who?source=north", nil)
	if err != nil {
		t.Fatal(err)
	}
	id := sessionCookie(t, b, site)
	req.Header.Set("Cookie", "portico="+id+"; portico=other")
	if p := newBrowser(t, s.Server).do(req); !strings.HasPrefix(p.body, "false") {
		t.Errorf("who: %s", p.body)
	}
}

func TestSessionIsGoodOnlyWhereLinksWereRenewed(t *testing.T) {
	s := withDemo(t, nil)
	s.enroller.errs["south"] = fault.New(fault.Unavailable, "The record of the south does not answer.")
	b := newBrowser(t, s.Server)
	b.signIn(b.get(s.begin("north", "/x")), click("maria")).want(t, 200, "ARRIVED")
	for source, want := range map[string]string{"north": "true", "south": "false", "west": "false", "": "false"} {
		if who := s.who(b, source); !strings.HasPrefix(who, want) {
			t.Errorf("%s: %s", source, who)
		}
	}
}

func TestEnrollerRefusals(t *testing.T) {
	for name, row := range map[string]struct {
		err    error
		status int
		text   string
	}{
		"no record":    {fault.New(fault.NotFound, "Two records match."), 403, "No record was found for you\nTwo records match."},
		"no words":     {fault.Wrap(errors.New("x"), fault.NotFound, ""), 403, "No record could be found"},
		"EHR down":     {fault.New(fault.Unavailable, "It sleeps."), 503, "cannot be reached right now\nIt sleeps."},
		"EHR slow":     {fault.New(fault.UpstreamTimeout, "It is slow."), 503, "It is slow."},
		"unclassified": {errors.New("Maria Delgado, MRN 7"), 500, "could not look up"},
		"a panic":      {errors.New("panic"), 500, "could not look up"},
	} {
		t.Run(name, func(t *testing.T) {
			s := withDemo(t, nil)
			b := newBrowser(t, s.Server)
			b.signIn(b.get(s.begin("north", "/before")), click("noah")).want(t, 200, "ARRIVED /before")
			s.enroller.errs["north"] = row.err
			p := b.signIn(b.get(s.begin("north", "/x")), click("maria"))
			p.want(t, row.status, row.text)
			p.want(t, row.status, "provider=health&return_to=%2Fx&source=north")
			if strings.Contains(p.body, "MRN") || strings.Contains(p.body, "Maria") {
				t.Errorf("the page tells an internal error: %s", p.body)
			}
			// Whoever was signed in before is not any more: somebody else sits here.
			if who := s.who(b, "north"); !strings.HasPrefix(who, "false") || s.sessions.Len() != 0 {
				t.Errorf("a session stayed: %s", who)
			}
		})
	}
}

// failingStore is a session store that is down.
type failingStore struct{}

func (failingStore) CreateSession(context.Context, login.Session) error {
	return errors.New("disk full")
}

func (failingStore) Session(context.Context, [32]byte, time.Time, time.Time) (login.Session, error) {
	return login.Session{}, errors.New("disk full")
}

func (failingStore) DeleteSession(context.Context, [32]byte) error { return errors.New("disk full") }

func (failingStore) EndSessions(context.Context, login.Ending) (int, error) {
	return 0, errors.New("disk full")
}

func TestSessionStoreDown(t *testing.T) {
	s := withDemo(t, func(p *parts) { p.o.Sessions = failingStore{} })
	b := newBrowser(t, s.Server)
	b.signIn(b.get(s.begin("north", "/x")), click("maria")).want(t, 503, "could not be kept")
	site, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	b.Jar.SetCookies(site, []*http.Cookie{{Name: "portico", Value: "x"}})
	if who := s.who(b, "north"); !strings.HasPrefix(who, "false") {
		t.Errorf("who: %s", who)
	}
	b.post(s.URL+"/logout", nil, "Sec-Fetch-Site", "same-origin").want(t, 503, "could not be ended")
}
