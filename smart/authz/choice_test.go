package authz_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/scope"
)

const (
	labs    = "?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
	vitals  = "?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
	problem = "?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item"
	note    = "?category=http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category|clinical-note"
)

func part(query string) authz.Part {
	name, value, _ := strings.Cut(strings.TrimPrefix(query, "?"), "=")
	return authz.Part{Param: name, Value: value}
}

// kinds are a small world of types.
func kinds() []authz.Kind {
	return []authz.Kind{
		{Type: "Patient"},
		{Type: "Observation", Parts: []authz.Part{part(labs), part(vitals)}, Choosable: true},
		{Type: "Condition", Parts: []authz.Part{part(problem)}, Choosable: true},
		{Type: "DocumentReference", Parts: []authz.Part{part(note)}},
		{Type: "Basic", Minor: true},
		{Type: "Linkage", Minor: true},
	}
}

// choosing starts a server whose people can choose, and remember.
func choosing(t *testing.T, change func(h *harness, o *authz.Options)) *harness {
	t.Helper()
	return start(t, func(h *harness, o *authz.Options) {
		o.Kinds = kinds()
		o.Decisions = &authztest.Decisions{Good: func(grant string, now time.Time) bool {
			for _, g := range h.tokens.Grants() {
				if g.ID == grant {
					return now.Before(g.Expires)
				}
			}
			return false
		}}
		if change != nil {
			change(h, o)
		}
	})
}

func asking(scopes string) func(url.Values) {
	return func(q url.Values) { q.Set("scope", scopes) }
}

func TestGranularScopesAreGrantedVerbatimAndOnlyWhereTheyAreEnforced(t *testing.T) {
	t.Parallel()
	h := choosing(t, nil)
	for _, c := range []struct{ name, asked, want string }{
		{"a parameter that is not listed", "openid patient/Observation.rs?code=http://loinc.org|1", "openid"},
		{"a listed parameter beside one that is not", "openid patient/Observation.rs" + labs + "&status=final", "openid"},
		{"a modifier", "openid patient/Observation.rs?category:not=http://x|y", "openid"},
		{"a type without parts", "openid patient/Patient.rs" + labs, "openid"},
		{"a wildcard", "openid patient/*.rs" + labs, "openid"},
		{"a code without a system", "openid patient/Observation.rs?category=laboratory", "openid"},
		{"a system without a code", "openid patient/Observation.rs?category=http://x|", "openid"},
		{"an escaped value", `openid patient/Observation.rs?category=http://x|a%5C,b`, "openid"},
		{"a control parameter", "openid patient/Observation.rs?_count=1", "openid"},
		{"letters that nobody may have", "openid patient/Observation.cud" + labs, "openid"},
		{"one", "openid patient/Observation.rs" + labs, "openid patient/Observation.rs" + labs},
		{"apart", "patient/Observation.r" + labs + " patient/Observation.s" + labs, "patient/Observation.r" + labs + " patient/Observation.s" + labs},
		{"several", "patient/Observation.rs" + labs + " patient/Observation.rs" + vitals + " patient/Condition.rs" + problem, "patient/Observation.rs" + labs + " patient/Observation.rs" + vitals + " patient/Condition.rs" + problem},
		{"another code of a listed parameter", "patient/Observation.rs?category=http://x|y", "patient/Observation.rs?category=http://x|y"},
		{"a type that people do not open", "patient/DocumentReference.rs" + note, "patient/DocumentReference.rs" + note},
		{"v1 and v2 and granular", "patient/Condition.read patient/Patient.rs patient/Observation.rs" + labs, "patient/Condition.read patient/Patient.rs patient/Observation.rs" + labs},
		{"more letters than there are", "patient/Observation.cruds" + labs, "patient/Observation.rs" + labs},
		{"wide beside narrow, since the app asks for it", "patient/Observation.rs" + labs + " patient/Observation.rs", "patient/Observation.rs" + labs + " patient/Observation.rs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := h.token(exchange(h.code(func(q url.Values) { asking(c.asked)(q); q.Set("prompt", "consent") }), nil))
			if got.text("scope") != c.want {
				t.Errorf("granted %q, want %q", got.text("scope"), c.want)
			}
		})
	}
}

// choose posts the consent page with some boxes unticked.
func choose(t *testing.T, h *harness, asked string, untick ...string) result {
	t.Helper()
	b := h.browser()
	page := b.authorize(h.ask(func(q url.Values) { asking(asked)(q); q.Set("prompt", "consent") })).want(t, "consent")
	form := page.yes()
	for _, name := range []string{"scope", "part"} {
		form[name] = slices.DeleteFunc(form[name], func(v string) bool { return slices.Contains(untick, v) })
	}
	return b.post(page.view.Action, form)
}

func TestUntickingTakesAwayExactlyThat(t *testing.T) {
	t.Parallel()
	h := choosing(t, nil)
	const rest = "patient/Patient.rs patient/Observation.rs patient/Condition.rs patient/DocumentReference.rs patient/Basic.rs patient/Linkage.rs"
	for _, c := range []struct {
		name, asked string
		untick      []string
		want        string // "": the page comes again
	}{
		{"nothing", "openid patient/Observation.rs patient/Condition.rs", nil, "openid patient/Observation.rs patient/Condition.rs"},
		{"a type", "openid patient/Observation.rs patient/Condition.rs", []string{"patient/Observation.rs"}, "openid patient/Condition.rs"},
		{"a part", "patient/Observation.rs patient/Patient.rs", []string{"patient/Observation.rs" + vitals}, "patient/Observation.rs" + labs + " patient/Patient.rs"},
		{"all parts", "patient/Observation.rs patient/Patient.rs", []string{"patient/Observation.rs" + vitals, "patient/Observation.rs" + labs}, "patient/Patient.rs"},
		{"a type though its parts stay ticked", "patient/Observation.rs patient/Patient.rs", []string{"patient/Observation.rs"}, "patient/Patient.rs"},
		{"the only part of the only type", "patient/Condition.rs", []string{"patient/Condition.rs" + problem}, ""},
		{"a part of a v1 scope", "patient/Observation.read", []string{"patient/Observation.rs" + labs}, "patient/Observation.rs" + vitals},
		{"a part of split letters", "patient/Observation.r patient/Observation.s", []string{"patient/Observation.r" + labs}, "patient/Observation.r" + vitals + " patient/Observation.s" + vitals},
		{"a type asked for twice", "patient/Observation.read patient/Observation.rs patient/Patient.rs", []string{"patient/Observation.read"}, "patient/Patient.rs"},
		{"nothing of everything", "patient/*.rs", nil, "patient/*.rs"},
		{"a type of everything", "patient/*.rs", []string{"patient/Observation.rs"}, strings.Replace(rest, "patient/Observation.rs ", "", 1)},
		{"a type of everything in v1", "patient/*.read", []string{"patient/Observation.read", "patient/*.read"}, "patient/Patient.read patient/Condition.read patient/DocumentReference.read"},
		{"a part of everything", "patient/*.rs", []string{"patient/Observation.rs" + labs}, strings.Replace(rest, "patient/Observation.rs", "patient/Observation.rs"+vitals, 1)},
		{"the rest of everything", "patient/*.rs", []string{"patient/*.rs"}, "patient/Patient.rs patient/Observation.rs patient/Condition.rs patient/DocumentReference.rs"},
		{"what a wildcard opens anyway", "patient/*.rs patient/Observation.rs patient/Condition.rs" + problem, []string{"patient/Observation.rs"}, strings.Replace(rest, "patient/Observation.rs ", "", 1)},
		{"everything of everything", "patient/*.rs", strings.Fields(rest + " patient/*.rs"), ""},
		{"a part at user level", "user/Observation.rs", []string{"user/Observation.rs" + labs}, "user/Observation.rs" + vitals},
		{"a type that is asked for at both levels", "patient/Condition.rs user/Condition.rs patient/Patient.rs", []string{"patient/Condition.rs"}, "patient/Patient.rs"},
		{"a part of a type at both levels", "patient/Observation.rs user/Observation.rs", []string{"patient/Observation.rs" + labs}, "patient/Observation.rs" + vitals + " user/Observation.rs" + vitals},
		{"a type under a wildcard of another level", "patient/*.rs user/Patient.rs", []string{"patient/Patient.rs", "patient/*.rs"}, "patient/Observation.rs patient/Condition.rs patient/DocumentReference.rs"},
		{"nothing, with a wildcard and another level", "patient/*.rs user/Patient.rs", nil, "patient/*.rs user/Patient.rs"},
		{"staying connected", "openid offline_access patient/Patient.rs", []string{"offline_access"}, "openid patient/Patient.rs"},
		{"everything but staying connected", "offline_access patient/Patient.rs", []string{"patient/Patient.rs"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := choose(t, h, c.asked, c.untick...)
			if c.want == "" {
				if done.want(t, "consent"); !done.view.NothingChosen {
					t.Error("the page does not say that nothing is ticked")
				}
				return
			}
			got := h.token(exchange(done.query.Get("code"), nil))
			if got.text("scope") != c.want {
				t.Errorf("granted %q, want %q", got.text("scope"), c.want)
			}
		})
	}
}

func TestFormsThatWereNotOnThePageAreRefused(t *testing.T) {
	t.Parallel()
	h := choosing(t, nil)
	for name, change := range map[string]func(url.Values){
		"a scope that was not asked for":       func(f url.Values) { f.Add("scope", "patient/Condition.rs") },
		"a wildcard":                           func(f url.Values) { f.Add("scope", "patient/*.rs") },
		"a part as a scope":                    func(f url.Values) { f.Add("scope", "patient/Observation.rs"+labs) },
		"a part that is not listed":            func(f url.Values) { f.Add("part", "patient/Observation.rs?category=http://x|y") },
		"a whole type as a part":               func(f url.Values) { f.Add("part", "patient/Observation.rs") },
		"an end that was not offered":          func(f url.Values) { f.Set("until", "10-years") },
		"an end where there is none to choose": func(f url.Values) { f.Set("until", "1-day") },
		"two ends":                             func(f url.Values) { f["until"] = []string{"longest", "longest"} },
		"no decision":                          func(f url.Values) { f.Del("decision") },
	} {
		t.Run(name, func(t *testing.T) {
			b := h.browser()
			page := b.authorize(h.ask(asking("openid patient/Observation.rs"))).want(t, "consent")
			form := page.yes()
			change(form)
			b.post(page.view.Action, form).want(t, "problem")
			if len(h.tokens.Grants()) != 0 {
				t.Error("a grant was made")
			}
		})
	}
}

func TestAPersonMayChooseAnEarlierEnd(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name, asked, until string
		limit              time.Duration
		offered            string
		lasts              time.Duration
	}{
		{"access that ends by itself", "openid patient/Patient.rs", "", 0, "", 61 * time.Minute},
		{"one day", "offline_access patient/Patient.rs", "1-day", 90 * day, "1-day 30-days longest", day},
		{"the longest", "offline_access patient/Patient.rs", "longest", 90 * day, "1-day 30-days longest", 90 * day},
		{"no choice", "offline_access patient/Patient.rs", "", 90 * day, "1-day 30-days longest", 90 * day},
		{"a year", "offline_access patient/Patient.rs", "1-year", 1000 * day, "1-day 30-days 3-months 1-year longest", 365 * day},
		{"a limit shorter than any", "offline_access patient/Patient.rs", "", day, "", day},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := choosing(t, func(_ *harness, o *authz.Options) { o.GrantTTL = c.limit })
			b := h.browser()
			page := b.authorize(h.ask(asking(c.asked))).want(t, "consent")
			var offered []string
			for _, e := range page.view.Ends {
				offered = append(offered, e.Value)
			}
			if got := strings.Join(offered, " "); got != c.offered {
				t.Errorf("offered %q, want %q", got, c.offered)
			}
			form := page.yes()
			if c.until != "" {
				form.Set("until", c.until)
			}
			if b.post(page.view.Action, form).query.Get("code") == "" {
				t.Fatal("no code")
			}
			if end := h.tokens.Grants()[0].Expires; !end.Equal(h.Now().Add(c.lasts)) {
				t.Errorf("the grant ends after %s, want %s", end.Sub(h.Now()), c.lasts)
			}
		})
	}
}

// fixedCounts knows how much there is.
type fixedCounts map[string]int

func (f fixedCounts) Counts(_ context.Context, source, patient string, of []scope.Resource) map[string]int {
	out := map[string]int{}
	for _, r := range of {
		if n, ok := f[source+"/"+patient+"/"+r.String()]; ok {
			out[r.String()] = n
		}
	}
	return out
}

func TestLinesSayHowMuchThereIs(t *testing.T) {
	t.Parallel()
	h := choosing(t, func(_ *harness, o *authz.Options) {
		o.Counts = fixedCounts{
			"demo/p1/patient/Observation.rs": 7, "demo/p1/patient/Observation.rs" + labs: 5, "demo/p1/patient/Patient.rs": 1,
			"demo/p2/patient/Condition.rs": 9, "demo/p1/patient/*.rs": 100,
		}
	})
	page := h.browser().authorize(h.ask(asking("openid patient/*.rs"))).want(t, "consent")
	got := map[string]int{}
	note := func(value string, c authz.Count) {
		if got[value] = -1; c.Known {
			got[value] = c.N
		}
	}
	for _, s := range page.view.Scopes {
		note(s.Value, s.Count)
		for _, p := range s.Parts {
			note(p.Value, p.Count)
		}
	}
	for value, want := range map[string]int{
		"patient/Observation.rs": 7, "patient/Observation.rs" + labs: 5, "patient/Observation.rs" + vitals: -1,
		"patient/Patient.rs": 1, "patient/Condition.rs": -1, "patient/*.rs": -1,
	} {
		if got[value] != want {
			t.Errorf("%s: %d, want %d", value, got[value], want)
		}
	}
}

func TestDiscoveryListsGranularScopes(t *testing.T) {
	t.Parallel()
	h := choosing(t, nil)
	got := h.call(h.request("GET", "/fhir/demo/.well-known/smart-configuration", nil)).list("scopes_supported")
	for _, want := range []string{"patient/Observation.rs" + labs, "patient/Condition.rs" + problem, "patient/DocumentReference.rs" + note} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not listed: %v", want, got)
		}
	}
}
