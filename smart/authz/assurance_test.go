package authz_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/scope"
)

func seconds(n int64) *int64 { return &n }

// What an app asks of the sign-in reaches the provider.
func TestDemandsReachTheProvider(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask  url.Values
		want authz.SignInDemand
	}{
		"nothing":           {nil, authz.SignInDemand{}},
		"prompt=login":      {url.Values{"prompt": {"login"}}, authz.SignInDemand{Login: true}},
		"login and consent": {url.Values{"prompt": {"consent login"}}, authz.SignInDemand{Login: true, Consent: true}},
		"select_account":    {url.Values{"prompt": {"select_account"}}, authz.SignInDemand{SelectAccount: true}},
		"max_age":           {url.Values{"max_age": {"600"}}, authz.SignInDemand{MaxAge: seconds(600)}},
		"max_age=0":         {url.Values{"max_age": {"0"}}, authz.SignInDemand{MaxAge: seconds(0)}},
		"login_hint":        {url.Values{"login_hint": {"ana+é@example.org"}}, authz.SignInDemand{LoginHint: "ana+é@example.org"}},
		"acr_values":        {url.Values{"acr_values": {"gold  silver"}}, authz.SignInDemand{ACRValues: []string{"gold", "silver"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil)
			h.browser().authorize(h.ask(func(q url.Values) {
				for name, v := range c.ask {
					q[name] = v
				}
			}))
			if d := cmp.Diff(c.want, h.people.asked.SignInDemand); d != "" {
				t.Errorf("asked of the provider (-want +got):\n%s", d)
			}
			if !strings.HasPrefix(h.people.asked.ReturnTo, "/oauth/continue?") || h.people.asked.Source != "demo" {
				t.Errorf("asked %+v", h.people.asked)
			}
		})
	}
}

// However lately somebody signed in, these lead to the provider.
func TestSomeDemandsGoToTheProviderThoughSomebodyIsSignedIn(t *testing.T) {
	t.Parallel()
	for _, demand := range []url.Values{{"prompt": {"login"}}, {"prompt": {"select_account"}}, {"max_age": {"0"}}} {
		h := start(t, nil)
		who := h.people.known["ana"]
		who.AuthTime = h.now
		h.people.known["ana"] = who
		b := h.browser()
		b.authorize(h.ask(nil)).want(t, "consent")
		h.advance(time.Second)
		b.authorize(h.ask(func(q url.Values) {
			for name, v := range demand {
				q[name] = v
			}
		})).want(t, "consent")
		if h.people.starts != 2 {
			t.Errorf("%v: %d rounds of sign-in, want 2", demand, h.people.starts)
		}
	}
}

func stepUp(t *testing.T, scopes string) scope.Set {
	t.Helper()
	set, err := scope.Parse(scopes)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A source may want a surer sign-in, for everything or for some scopes.
func TestAssurance(t *testing.T) {
	t.Parallel()
	mfa := authz.Assurance{ACR: []string{"gold"}, AMR: []string{"mfa", "hwk"}}
	for name, c := range map[string]struct {
		always authz.Assurance
		stepUp string // scopes for which mfa is wanted
		scope  string // asked for; "" as usual
		acr    string
		amr    []string
		want   string // "": consent
		asked  []string
	}{
		"nothing wanted":                     {},
		"wanted, and nothing said":           {always: mfa, want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"wanted, and another acr":            {always: mfa, acr: "silver", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"wanted, and another amr":            {always: mfa, amr: []string{"pwd"}, want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"wanted, and the acr":                {always: mfa, acr: "gold", asked: []string{"gold"}},
		"wanted, and one of the amr":         {always: mfa, amr: []string{"pwd", "hwk"}, asked: []string{"gold"}},
		"acr alone wanted, amr does not do":  {always: authz.Assurance{ACR: []string{"gold"}}, amr: []string{"gold"}, want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"amr alone wanted, acr does not do":  {always: authz.Assurance{AMR: []string{"mfa"}}, acr: "mfa", want: "unmet_authentication_requirements"},
		"no scope of the step":               {stepUp: "patient/DocumentReference.rs"},
		"a scope of the step":                {stepUp: "patient/Condition.rs", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"a part of a scope of the step":      {stepUp: "patient/Condition.rs?category=http://x|y", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"a wildcard over the step":           {stepUp: "patient/DocumentReference.rs", scope: "patient/*.rs", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"a wildcard in the step":             {stepUp: "patient/*.rs", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"a scope of the step at user level":  {stepUp: "patient/Condition.rs", scope: "user/Condition.rs", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"a wildcard at user level":           {stepUp: "patient/Condition.rs", scope: "user/*.rs", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"a step at user level":               {stepUp: "user/Condition.rs", scope: "patient/Condition.read", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"an identity scope of the step":      {stepUp: "openid", want: "unmet_authentication_requirements", asked: []string{"gold"}},
		"a scope of the step, and signed so": {stepUp: "patient/Condition.rs", amr: []string{"mfa"}, asked: []string{"gold"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, func(_ *harness, o *authz.Options) {
				o.Sources[0].SignIn = c.always
				if c.stepUp != "" {
					o.Sources[0].StepUp = []authz.StepUp{{Scopes: stepUp(t, c.stepUp), Assurance: mfa}}
				}
			})
			who := h.people.known["ana"]
			who.ACR, who.AMR = c.acr, c.amr
			h.people.known["ana"] = who
			got := h.browser().authorize(h.ask(func(q url.Values) {
				if c.scope != "" {
					q.Set("scope", c.scope)
				}
			}))
			if d := cmp.Diff(c.asked, h.people.asked.ACRValues); d != "" {
				t.Errorf("acr_values (-want +got):\n%s", d)
			}
			if h.people.starts != 1 {
				t.Errorf("%d rounds of sign-in", h.people.starts)
			}
			if c.want == "" {
				got.want(t, "consent")
				return
			}
			got.wantError(t, c.want)
		})
	}
}

// Somebody who is signed in well enough for one app steps up for another.
func TestStepUpSendsASignedInPersonBackToTheProvider(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) {
		o.Sources[0].StepUp = []authz.StepUp{{Scopes: stepUp(t, "patient/Condition.rs"), Assurance: authz.Assurance{AMR: []string{"mfa"}}}}
	})
	b := h.browser()
	b.authorize(h.ask(func(q url.Values) { q.Set("scope", "patient/Observation.rs") })).want(t, "consent")
	h.people.set(func(p *people) {
		who := p.known["ana"]
		who.AMR = []string{"pwd", "mfa"}
		p.known["strong"] = who
		p.next = "strong"
	})
	b.authorize(h.ask(nil)).want(t, "consent")
	if h.people.starts != 2 {
		t.Errorf("%d rounds of sign-in, want 2", h.people.starts)
	}
}
