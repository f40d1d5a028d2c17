package login_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/fault"
)

func TestLogout(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	signIn := func() { b.signIn(b.get(s.begin("north", "/x")), click("maria")).want(t, 200, "ARRIVED") }
	signIn()
	for name, header := range map[string][]string{
		"another site":   {"Sec-Fetch-Site", "cross-site"},
		"a sister site":  {"Sec-Fetch-Site", "same-site"},
		"another origin": {"Origin", "https://evil.example"},
		"no origin":      {"Origin", "null"},
	} {
		if p := b.post(s.URL+"/logout", nil, header...); p.status != 403 || !strings.Contains(p.body, "another site") {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	b.get(s.URL+"/logout").want(t, 200, `SIGN-OUT true "Maria Delgado" next ""`) // looking changes nothing
	if who := s.who(b, "north"); !strings.HasPrefix(who, "true") {
		t.Fatalf("signed out by another site: %s", who)
	}
	for _, header := range [][]string{{"Origin", s.URL}, {"Sec-Fetch-Site", "same-origin"}} {
		signIn()
		p := b.post(s.URL+"/logout", nil, header...)
		p.want(t, 200, "SIGN-OUT false")
		// The browser goes to the provider by itself and comes back from there.
		b.get(strings.TrimPrefix(p.header.Get("Refresh"), "0; url=")).want(t, 200, `SIGN-OUT false "" next ""`)
		if who := s.who(b, "north"); !strings.HasPrefix(who, "false") || s.sessions.Len() != 0 {
			t.Errorf("still signed in: %s", who)
		}
	}
	b.post(s.URL+"/logout", nil, "Sec-Fetch-Site", "same-origin").want(t, 200, `SIGN-OUT false "" next ""`) // nobody to sign out
}

// Who signs out in the middle of something comes back to it, by way of the
// provider when it has a session of its own to end.
func TestLogoutLeadsBack(t *testing.T) {
	s := withDemo(t, nil)
	b := newBrowser(t, s.Server)
	for back, comesBack := range map[string]bool{
		"/x?request=1&as=somebody-else": true,
		"//evil.example/":               false,
		"https://evil.example/":         false,
		`/\evil.example`:                false,
		"javascript:alert(1)":           false,
	} {
		b.signIn(b.get(s.begin("north", "/x")), click("maria")).want(t, 200, "ARRIVED")
		p := b.post(s.URL+"/logout", url.Values{"return_to": {back}}, "Sec-Fetch-Site", "same-origin")
		p.want(t, 200, "SIGN-OUT false")
		if s.sessions.Len() != 0 {
			t.Errorf("%s: still signed in", back)
		}
		next := strings.TrimPrefix(p.header.Get("Refresh"), "0; url=")
		if !strings.Contains(next, "/end_session?") {
			t.Fatalf("%s: goes on at %q", back, next)
		}
		want := `SIGN-OUT false "" next ""`
		if comesBack {
			want = "ARRIVED " + back
		}
		b.get(next).want(t, 200, want)
		b.get(s.URL+"/logout").want(t, 200, `SIGN-OUT false "" next ""`) // once
	}
	// Nobody is signed in, so no provider is asked.
	p := b.post(s.URL+"/logout", url.Values{"return_to": {"/x"}}, "Sec-Fetch-Site", "same-origin")
	if got := p.header.Get("Refresh"); p.status != 200 || got != "0; url=/x" {
		t.Errorf("%d, goes on at %q", p.status, got)
	}
}

// Who has no record can sign in as somebody else, or go back to the app; the
// way back never leads elsewhere.
func TestWithoutARecordThereAreWaysOn(t *testing.T) {
	for leave, want := range map[string]string{"/x?gave-up": "leave:/x?gave-up\n", "//evil.example/": "leave:\n", "https://evil.example/": "leave:\n"} {
		s := withDemo(t, nil)
		s.enroller.errs["north"] = fault.New(fault.NotFound, "No record.")
		b := newBrowser(t, s.Server)
		at := b.get(s.URL + "/login/start?" + url.Values{"source": {"north"}, "return_to": {"/x"}, "leave": {leave}}.Encode())
		p := b.signIn(at, click("maria"))
		p.want(t, 403, "No record was found for you")
		if !strings.Contains(p.body, want) || !strings.Contains(p.body, "login=1") || strings.Contains(p.body, "evil") {
			t.Errorf("%s: %s", leave, p.body)
		}
	}
}
