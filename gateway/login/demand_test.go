package login_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/smart/authz"
)

func (s *site) demand(t *testing.T, source, to string, d authz.SignInDemand) string {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return s.begin(source, to) + "&demand=" + url.QueryEscape(string(text))
}

func TestDemandsTravelToTheProvider(t *testing.T) {
	age := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		d    authz.SignInDemand
		want map[string]string
	}{
		"none":         {authz.SignInDemand{}, map[string]string{}},
		"login":        {authz.SignInDemand{Login: true}, map[string]string{"prompt": "login", "max_age": "0"}},
		"login, 1 h":   {authz.SignInDemand{Login: true, MaxAge: age(3600)}, map[string]string{"prompt": "login", "max_age": "0"}},
		"select":       {authz.SignInDemand{SelectAccount: true}, map[string]string{"prompt": "select_account"}},
		"both":         {authz.SignInDemand{Login: true, SelectAccount: true}, map[string]string{"prompt": "login select_account", "max_age": "0"}},
		"max_age":      {authz.SignInDemand{MaxAge: age(600)}, map[string]string{"max_age": "600"}},
		"max_age zero": {authz.SignInDemand{MaxAge: age(0)}, map[string]string{"max_age": "0"}},
		"hint":         {authz.SignInDemand{LoginHint: "a+b&c@example.org"}, map[string]string{"login_hint": "a+b&c@example.org"}},
		"acr":          {authz.SignInDemand{ACRValues: []string{"gold", "silver"}}, map[string]string{"acr_values": "gold silver"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withFake(t, nil, nil)
			b := newBrowser(t, s.Server)
			b.get(s.demand(t, "north", "/x", c.d)).want(t, 200, "ARRIVED /x")
			got := map[string]string{}
			for _, name := range []string{"prompt", "max_age", "login_hint", "acr_values"} {
				if p.asked.Has(name) {
					got[name] = p.asked.Get(name)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("asked of the provider (-want +got):\n%s", d)
			}
		})
	}
}

func TestHowSomebodySignedInIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		acr, amr any
		want     string
	}{
		"said":            {"gold", []string{"pwd", "otp"}, "acr=gold amr=[pwd otp]"},
		"not said":        {nil, nil, "acr= amr=[]"},
		"of another form": {7, "pwd", "acr= amr=[]"},
		"partly":          {"", []any{"pwd", 3, ""}, "acr= amr=[pwd]"},
		"without end":     {strings.Repeat("x", 300), []string{strings.Repeat("x", 300)}, "acr= amr=[]"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := withFake(t, func(p *provider) {
				p.claims = func(claims map[string]any) {
					if c.acr != nil {
						claims["acr"] = c.acr
					}
					if c.amr != nil {
						claims["amr"] = c.amr
					}
				}
			}, nil)
			b := newBrowser(t, s.Server)
			b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
			if who := s.who(b, "north&how"); !strings.Contains(who, c.want+" since=2026-03-01T12:00:00Z") {
				t.Errorf("who: %s, want %s", who, c.want)
			}
		})
	}
}

// A retry asks for the same again, but does not say who was expected.
func TestTryAgainKeepsTheDemand(t *testing.T) {
	s, p := withFake(t, func(p *provider) {
		p.answer = func(v url.Values) { v.Del("code"); v.Set("error", "temporarily_unavailable") }
	}, nil)
	b := newBrowser(t, s.Server)
	age := int64(60)
	shown := b.get(s.demand(t, "north", "/x", authz.SignInDemand{Login: true, MaxAge: &age, LoginHint: "maria@example.org", ACRValues: []string{"gold"}}))
	shown.want(t, 503, "retry:/login/start?")
	_, retry, _ := strings.Cut(shown.body, "retry:")
	retry = strings.TrimSpace(retry)
	if strings.Contains(retry, "maria") {
		t.Errorf("the link says who was expected: %s", retry)
	}
	p.mu.Lock()
	p.answer = nil
	p.mu.Unlock()
	b.get(s.URL+retry).want(t, 200, "ARRIVED /x")
	if p.asked.Get("prompt") != "login" || p.asked.Get("max_age") != "0" || p.asked.Get("acr_values") != "gold" {
		t.Errorf("asked again: %v", p.asked)
	}
}

// withTwo is Portico with two providers for the source "north", the second for
// "south" as well.
func withTwo(t *testing.T) (*site, *provider, *provider) {
	t.Helper()
	var first *provider
	s, second := withFakes(t, func(c *clock) login.Provider {
		at, issuer := listen(t, false)
		first = &provider{Server: at, issuer: issuer, clock: c}
		first.rotate(t, "k1")
		at.Config.Handler = first
		at.Start()
		return login.Provider{ID: "city", Name: "City login", Issuer: issuer, ClientID: "portico", ClientSecret: "s3cret", Sources: []string{"north"}, HTTPClient: at.Client()}
	})
	return s, first, second
}

func TestOfSeveralProvidersThePersonChooses(t *testing.T) {
	s, city, fake := withTwo(t)
	b := newBrowser(t, s.Server)
	shown := b.get(s.demand(t, "north", "/x?y=1", authz.SignInDemand{Login: true}))
	shown.want(t, 200, "CHOOSE north")
	links := map[string]string{}
	for line := range strings.SplitSeq(shown.body, "\n") {
		if name, link, ok := strings.Cut(line, " -> "); ok {
			links[name] = link
		}
	}
	if len(links) != 2 || links["City login"] == "" || links["Fake Health"] == "" {
		t.Fatalf("choices: %v", links)
	}
	b.get(s.URL+links["City login"]).want(t, 200, "ARRIVED /x?y=1")
	if city.asked.Get("prompt") != "login" || fake.asked != nil {
		t.Errorf("city was asked %v, the other %v", city.asked, fake.asked)
	}
	if who := s.who(b, "north"); !strings.HasPrefix(who, "true s-1 Maria Delgado "+city.issuer) {
		t.Errorf("who: %s", who)
	}
	// The same sub at the other provider is somebody else.
	other := newBrowser(t, s.Server)
	other.get(s.URL+links["Fake Health"]).want(t, 200, "ARRIVED /x?y=1")
	if who := s.who(other, "north"); !strings.HasSuffix(who, fake.issuer) {
		t.Errorf("who: %s", who)
	}
	// A source with one provider goes straight there.
	newBrowser(t, s.Server).get(s.begin("south", "/x")).want(t, 200, "ARRIVED /x")
	// A provider of another source is none of this one's.
	b.get(s.URL+"/login/start?source=south&provider=city&return_to=%2Fx").want(t, 404, "PROBLEM")
}

// Mix-up: the answer of one provider is not good for the sign-in that began at
// the other (RFC 9700 4.4), whether or not it says who answers.
func TestAnAnswerOfTheOtherProviderIsRefused(t *testing.T) {
	s, city, fake := withTwo(t)
	fake.mu.Lock()
	fake.answer = func(v url.Values) { v.Set("iss", city.issuer) }
	fake.mu.Unlock()
	b := newBrowser(t, s.Server)
	b.get(s.URL+"/login/start?source=north&provider=fake&return_to=%2Fx").want(t, 502, "PROBLEM")
	if s.sessions.Len() != 0 {
		t.Error("somebody was signed in")
	}
}
