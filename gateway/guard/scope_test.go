package guard_test

import (
	"testing"

	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/smart/scope"
)

const (
	categories = "http://terminology.hl7.org/CodeSystem/observation-category"
	lab        = "?category=" + categories + "|laboratory"
	vital      = "?category=" + categories + "|vital-signs"
)

// observation has a category of that JSON, none when "".
func observation(category string) string {
	if category != "" {
		category = `"category":` + category + `,`
	}
	return `{"resourceType":"Observation","id":"x",` + category + `"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"1"}]},"subject":{"reference":"Patient/me"}}`
}

func coded(codes ...string) string {
	out := `[`
	for i, c := range codes {
		if i > 0 {
			out += ","
		}
		out += `{"coding":[{"system":"` + categories + `","code":"` + c + `"}]}`
	}
	return out + `]`
}

func TestAGranularScopeOpensNothingThatDoesNotCertainlySatisfyIt(t *testing.T) {
	laboratory := observation(coded("laboratory"))
	for _, tt := range []struct{ name, scopes, raw string }{
		{"another code", "patient/Observation.rs" + lab, observation(coded("vital-signs"))},
		{"no category", "patient/Observation.rs" + lab, observation("")},
		{"no coding", "patient/Observation.rs" + lab, observation(`[{"text":"laboratory"}]`)},
		{"the code of another system", "patient/Observation.rs" + lab, observation(`[{"coding":[{"system":"http://other","code":"laboratory"}]}]`)},
		{"the code without a system", "patient/Observation.rs" + lab, observation(`[{"coding":[{"code":"laboratory"}]}]`)},
		{"a longer system", "patient/Observation.rs" + lab, observation(`[{"coding":[{"system":"` + categories + `/x","code":"laboratory"}]}]`)},
		{"system and code of two codings", "patient/Observation.rs" + lab, observation(`[{"coding":[{"system":"` + categories + `","code":"exam"},{"system":"http://other","code":"laboratory"}]}]`)},
		{"a category that is an object", "patient/Observation.rs" + lab, observation(`{"extension":[{"url":"x","valueCode":"laboratory"}]}`)},
		{"a category in a contained resource", "patient/Observation.rs" + lab, `{"resourceType":"Observation","id":"x","contained":[{"resourceType":"Observation","id":"c","category":` + coded("laboratory") + `}],"subject":{"reference":"Patient/me"}}`},
		{"two parameters, one of them met", "patient/Observation.rs" + lab + "&status=preliminary", laboratory},
		{"the same parameter twice, one met", "patient/Observation.rs" + lab + "&category=" + categories + "|vital-signs", laboratory},
		{"a parameter that does not exist", "patient/Observation.rs?nonsense=x", laboratory},
		{"a parameter that does not exist beside one that is met", "patient/Observation.rs" + lab + "&nonsense=x", laboratory},
		{"a parameter in the wrong case", "patient/Observation.rs?Category=" + categories + "|laboratory", laboratory},
		{"a parameter of another type", "patient/Observation.rs?clinical-status=active", laboratory},
		{"a parameter that filters nothing", "patient/Observation.rs?_count=10", laboratory},
		{"an include", "patient/Observation.rs?_include=Observation:subject", laboratory},
		{"a summary", "patient/Observation.rs?_summary=true", laboratory},
		{"a format", "patient/Observation.rs?_format=json", laboratory},
		{"a chain", "patient/Observation.rs?subject.name=x", laboratory},
		{"_filter", "patient/Observation.rs?_filter=x", laboratory},
		{"a modifier that needs terminology", "patient/Observation.rs?category:in=http://vs", laboratory},
		{"a value that is malformed", "patient/Observation.rs?category=a|b|c", laboratory},
		{"a value that cannot be decided", "patient/Observation.rs?status=http://unknown|final&date=never", laboratory},
		{"a part of everything", "patient/*.rs?clinical-status=active", laboratory},
		{"the part of another type", "patient/Condition.rs" + lab, laboratory},
		{"another's, though it is laboratory", "patient/Observation.rs" + lab, `{"resourceType":"Observation","id":"x","category":` + coded("laboratory") + `,"subject":{"reference":"Patient/other"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v := who(t, tt.scopes).Judge(resource(t, tt.raw)); v.Decision != guard.Withhold {
				t.Errorf("kept as %q", v.Reason)
			}
		})
	}
}

func TestGranularScopesAreAUnionOfFiltersThatMustHoldWhole(t *testing.T) {
	for _, tt := range []struct{ name, scopes, raw string }{
		{"its code", "patient/Observation.rs" + lab, observation(coded("laboratory"))},
		{"one of several categories", "patient/Observation.rs" + lab, observation(coded("exam", "laboratory"))},
		{"one of several codings", "patient/Observation.rs" + lab, observation(`[{"coding":[{"system":"http://other","code":"x"},{"system":"` + categories + `","code":"laboratory"}]}]`)},
		{"either of two scopes", "patient/Observation.rs" + lab + " patient/Observation.rs" + vital, observation(coded("vital-signs"))},
		{"either of two values", "patient/Observation.rs" + lab + "," + categories + "|vital-signs", observation(coded("vital-signs"))},
		{"both of two parameters", "patient/Observation.rs" + lab + "&status=final", observation(coded("laboratory"))},
		{"a useless scope beside a good one", "patient/Observation.rs?nonsense=x patient/Observation.rs" + lab, observation(coded("laboratory"))},
		{"a wide scope beside a narrow one", "patient/Observation.rs" + lab + " patient/Observation.rs", observation("")},
		{"a wide v1 scope beside a narrow one", "patient/Observation.rs" + lab + " patient/*.read", observation("")},
		{"user level", "user/Observation.rs" + lab, observation(coded("laboratory"))},
		{"a part of everything", "patient/*.rs?status=final", observation("")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v := who(t, tt.scopes).Judge(resource(t, tt.raw)); v.Decision != guard.Keep {
				t.Errorf("withheld: %q", v.Reason)
			}
		})
	}
}

// The letters go with their filter: what may be searched is not what may be read.
func TestLettersOfGranularScopesAreNotMixed(t *testing.T) {
	w := who(t, "patient/Observation.r"+lab+" patient/Observation.s"+vital)
	read, err := w.Narrow(guard.Ask{Interaction: guard.Read, Type: "Observation", ID: "x"}, everything)
	if err != nil {
		t.Fatal(err)
	}
	search, err := w.Narrow(searchFor(t, "Observation", ""), everything)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		category   string
		read, find guard.Decision
	}{
		{"laboratory", guard.Keep, guard.Withhold},
		{"vital-signs", guard.Withhold, guard.Keep},
		{"exam", guard.Withhold, guard.Withhold},
	} {
		r := resource(t, observation(coded(tt.category)))
		if v, _ := read.JudgeFound(r, "", 0); v.Decision != tt.read {
			t.Errorf("%s is read: %+v", tt.category, v)
		}
		if v, _ := search.JudgeFound(r, "match", 0); v.Decision != tt.find {
			t.Errorf("%s is found: %+v", tt.category, v)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		scopes string
		want   guard.Coverage
	}{
		{"patient/Condition.rs", guard.Nothing},
		{"patient/Observation.s", guard.Nothing},
		{"system/Observation.rs", guard.Nothing},
		{"patient/Observation.rs" + lab, guard.Part},
		{"patient/Observation.s patient/Observation.r" + lab, guard.Part},
		{"patient/*.rs" + lab, guard.Part},
		{"patient/Observation.rs" + lab + " patient/Observation.r", guard.Whole},
		{"user/Observation.read patient/Observation.rs" + lab, guard.Whole},
	} {
		if got := who(t, tt.scopes).Covers("Observation", scope.Read); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.scopes, got, tt.want)
		}
	}
}

func BenchmarkJudgeUnderGranularScopes(b *testing.B) {
	w := who(b, "patient/Observation.rs"+lab+" patient/Observation.rs"+vital)
	r := resource(b, observation(coded("vital-signs")))
	for b.Loop() {
		w.Judge(r)
	}
}
