package scope_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/smart/scope"
)

func parse(t testing.TB, s string) scope.Set {
	t.Helper()
	set, err := scope.Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return set
}

func resource(t testing.TB, s string) scope.Resource {
	t.Helper()
	r, err := scope.ParseResource(s)
	if err != nil {
		t.Fatalf("ParseResource(%q): %v", s, err)
	}
	return r
}

func TestMalformedScopesAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"patient/Observation.sr",  // letters out of order
		"patient/Observation.rr",  // a letter twice
		"patient/Observation.rsx", // no such letter
		"patient/Observation.",    // no access
		"patient/Observation",     // no access part
		"patient/Observation.reads",
		"patient/Observation.Read",
		"patient/Observation.READ",
		"patient/Observation.rs.rs",
		"patient/Observation.read?category=a", // v1 has no parameters
		"patient/Observation.*?category=a",
		"patient/Observation.rs?",
		"patient/Observation.rs?category",
		"patient/Observation.rs?category=",
		"patient/Observation.rs?=a",
		"patient/Observation.rs?category=a&",
		"patient/Observation.rs?category=a&&code=b",
		"patient/Observation.rs?category=%zz",
		"patient/Observation.rs?category=%00",
		"patient/Observation.rs?category=%ff",
		"patient/Observation.rs?category=a,,b",
		"patient/Observation.rs?category=a,",
		"patient/Observation.rs?cate%20gory=a",
		"patient/Observation.rs?1=a",
		"patient/observation.rs",
		"patient/O.rs",
		"patient/Obs1.rs",
		"patient/**.rs",
		"patient/.rs",
		"patient/*",
		"patient/",
		"patient",
		"/Observation.rs",
		"Patient/Observation.rs",
		"group/Observation.rs",
		"patient/Obs/ervation.rs",
		"patient\\Observation.rs",
		"patient/Observation.rs\x00",
		"patient/Observation.rs\tpatient/Patient.rs",
		"patient/Observation.rs\n",
		"\"openid\"",
		"pätient/Observation.rs",
		"OpenID",
		"openid,fhirUser",
		"email",
		"launch/",
		"launch/Patient",
		"launch/organization",
		"openid patient/Observation.sr", // one bad word spoils the whole
	} {
		if set, err := scope.Parse(s); !errors.Is(err, scope.ErrMalformed) {
			t.Errorf("Parse(%q) = %v, %v, want ErrMalformed", s, set, err)
		}
	}
}

func TestScopesAreReadAsTheGrammarSays(t *testing.T) {
	t.Parallel()
	type want = scope.Resource
	for _, c := range []struct {
		text string
		want scope.Resource
	}{
		{"patient/Observation.read", want{Level: scope.Patient, Type: "Observation", Access: scope.Read | scope.Search}},
		{"patient/Observation.write", want{Level: scope.Patient, Type: "Observation", Access: scope.Create | scope.Update | scope.Delete}},
		{"user/*.*", want{Level: scope.User, Type: "*", Access: scope.All}},
		{"system/Patient.cruds", want{Level: scope.System, Type: "Patient", Access: scope.All}},
		{"patient/*.rs", want{Level: scope.Patient, Type: "*", Access: scope.ReadSearch}},
		{"patient/Patient.r", want{Level: scope.Patient, Type: "Patient", Access: scope.Read}},
		{"patient/Patient.s", want{Level: scope.Patient, Type: "Patient", Access: scope.Search}},
		{"patient/Appointment.cud", want{Level: scope.Patient, Type: "Appointment", Access: scope.Write}},
		{
			"patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
			want{Level: scope.Patient, Type: "Observation", Access: scope.ReadSearch, Filter: []scope.Param{
				{Name: "category", Value: "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"},
			}},
		},
		{
			"patient/Observation.rs?category=a%7Cb&code=x%26y&date=gt2020-01-01T00:00:00%2B01:00",
			want{Level: scope.Patient, Type: "Observation", Access: scope.ReadSearch, Filter: []scope.Param{
				{Name: "category", Value: "a|b"}, {Name: "code", Value: "x&y"}, {Name: "date", Value: "gt2020-01-01T00:00:00+01:00"},
			}},
		},
		{"patient/*.rs?category:in=v", want{Level: scope.Patient, Type: "*", Access: scope.ReadSearch, Filter: []scope.Param{{Name: "category:in", Value: "v"}}}},
	} {
		got := resource(t, c.text)
		if d := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(scope.Resource{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, d)
		}
		if got.String() != c.text {
			t.Errorf("%s is not kept verbatim: %s", c.text, got)
		}
	}
}

func TestSetKeepsEachScopeOnceAndVerbatim(t *testing.T) {
	t.Parallel()
	set := parse(t, "  patient/Observation.rs openid   patient/Observation.read openid fhirUser profile launch launch/patient launch/encounter online_access offline_access patient/Observation.rs ")
	const want = "openid fhirUser profile launch launch/patient launch/encounter online_access offline_access patient/Observation.rs patient/Observation.read"
	if got := set.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !set.Has(scope.LaunchPatient) || set.Has("patient/Observation.rs") || set.Has("") {
		t.Error("Has knows identity and context scopes, and only those")
	}
	if got := parse(t, ""); !got.Empty() || got.String() != "" {
		t.Errorf("the empty text is the empty set, got %v", got)
	}
}

func TestInclusion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wide, narrow string
		want         bool
	}{
		{"patient/Observation.rs", "user/Observation.rs", false},
		{"user/*.cruds", "patient/Observation.r", false},
		{"system/*.cruds", "patient/Observation.r", false},
		{"patient/Observation.rs", "patient/Condition.rs", false},
		{"patient/Observation.rs", "patient/*.rs", false},
		{"patient/Observation.r", "patient/Observation.rs", false},
		{"patient/Observation.read", "patient/Observation.cruds", false},
		{"patient/Observation.write", "patient/Observation.r", false},
		{"patient/Observation.rs?category=a|b", "patient/Observation.rs", false},
		{"patient/Observation.rs?category=a|b", "patient/*.rs?category=a|b", false},
		{"patient/Observation.rs?category=a|b", "patient/Observation.rs?category=a|c", false},
		{"patient/Observation.rs?category=a|b", "patient/Observation.rs?category=b", false},
		{"patient/Observation.rs?category=a|b", "patient/Observation.rs?category=a|b,a|c", false},
		{"patient/Observation.rs?category=a|b", "patient/Observation.rs?code=a|b", false},
		{"patient/Observation.rs?category=a|b&code=c", "patient/Observation.rs?category=a|b", false},
		{"patient/Observation.rs?category=a%5C,b", "patient/Observation.rs?category=a", false},            // an escaped comma is no "or"
		{"patient/Observation.rs?category:not=a|b,a|c", "patient/Observation.rs?category:not=a|b", false}, // holds for more

		{"patient/Observation.rs", "patient/Observation.read", true},
		{"patient/Observation.rs?category:not=a|b", "patient/Observation.rs?category:not=a|b&code=c", true},
		{"patient/Observation.read", "patient/Observation.s", true},
		{"patient/Observation.*", "patient/Observation.cruds", true},
		{"patient/*.rs", "patient/Observation.rs", true},
		{"patient/*.rs", "patient/*.r", true},
		{"patient/*.rs", "patient/Observation.rs?category=a|b", true},
		{"patient/*.rs?category=a|b", "patient/Observation.r?category=a|b", true},
		{"patient/Observation.rs?category=a|b", "patient/Observation.rs?category=a%7Cb", true},
		{"patient/Observation.rs?category=a|b", "patient/Observation.rs?category=a|b&code=c", true},
		{"patient/Observation.rs?category=a|b,a|c", "patient/Observation.rs?category=a|c", true},
	} {
		if got := resource(t, c.wide).Includes(resource(t, c.narrow)); got != c.want {
			t.Errorf("%s includes %s: %v, want %v", c.wide, c.narrow, got, c.want)
		}
	}
}

func TestSetIncludesTheUnionOfLetters(t *testing.T) {
	t.Parallel()
	split := parse(t, "patient/Observation.r patient/*.s")
	if !split.Includes(resource(t, "patient/Observation.rs")) {
		t.Error(".r and .s together include .rs")
	}
	if split.Includes(resource(t, "patient/Observation.crs")) || split.Includes(resource(t, "patient/Condition.rs")) {
		t.Error("what no scope gives is not included")
	}
	if (scope.Set{}).Includes(resource(t, "patient/Observation.r")) || split.Includes(scope.Resource{Level: scope.Patient, Type: "Observation"}) {
		t.Error("nothing includes something, or something includes nothing at all")
	}
}

func TestAllowsAsksForEveryLetter(t *testing.T) {
	t.Parallel()
	set := parse(t, "openid patient/Observation.r patient/Observation.s?category=a|b patient/Condition.rs user/Patient.rs")
	for _, c := range []struct {
		level  scope.Level
		typ    string
		access scope.Access
		want   bool
	}{
		{scope.Patient, "Observation", scope.Write, false},
		{scope.Patient, "Observation", scope.ReadSearch | scope.Create, false},
		{scope.Patient, "Patient", scope.Read, false},
		{scope.User, "Observation", scope.Read, false},
		{scope.System, "Condition", scope.Read, false},
		{scope.Patient, "*", scope.Read, false},
		{scope.Patient, "", scope.Read, false},
		{scope.Patient, "Condition", 0, false},
		{scope.Patient, "Observation", scope.ReadSearch, true},
		{scope.Patient, "Condition", scope.Search, true},
		{scope.User, "Patient", scope.ReadSearch, true},
	} {
		if got := set.Allows(c.level, c.typ, c.access); got != c.want {
			t.Errorf("Allows(%s, %s, %s) = %v, want %v", c.level, c.typ, c.access, got, c.want)
		}
	}
	if got := set.Covering(scope.Patient, "Observation", scope.Search); len(got) != 1 || len(got[0].Filter) != 1 {
		t.Errorf("search of Observation is covered by the granular scope alone, got %v", got)
	}
}

func TestNarrowKeepsTheSyntaxAndNeverWidens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		to   scope.Access
		want string // "": nothing remains
	}{
		{"patient/Observation.write", scope.ReadSearch, ""},
		{"patient/Observation.cud", scope.ReadSearch, ""},
		{"patient/Observation.*", scope.ReadSearch, "patient/Observation.read"},
		{"patient/*.*", scope.Write, "patient/*.write"},
		{"patient/Observation.*", scope.Read, "patient/Observation.r"}, // v1 has no word for it
		{"patient/Observation.read", scope.ReadSearch, "patient/Observation.read"},
		{"patient/Observation.cruds", scope.ReadSearch, "patient/Observation.rs"},
		{"patient/Observation.cruds?category=a%7Cb", scope.ReadSearch, "patient/Observation.rs?category=a|b"},
		{"patient/Observation.rs?category=a%7Cb", scope.ReadSearch, "patient/Observation.rs?category=a%7Cb"},
	} {
		got, ok := resource(t, c.text).Narrow(c.to)
		if ok != (c.want != "") || (ok && got.String() != c.want) {
			t.Errorf("%s narrowed to %s = %s, %v, want %q", c.text, c.to, got, ok, c.want)
		}
	}
}

func genResource() *rapid.Generator[scope.Resource] {
	return rapid.Custom(func(t *rapid.T) scope.Resource {
		r := scope.Resource{
			Level:  rapid.SampledFrom([]scope.Level{scope.Patient, scope.User, scope.System}).Draw(t, "level"),
			Type:   rapid.SampledFrom([]string{"*", "Observation", "Condition", "Patient"}).Draw(t, "type"),
			Access: scope.Access(rapid.IntRange(1, int(scope.All)).Draw(t, "access")),
		}
		for range rapid.IntRange(0, 3).Draw(t, "params") {
			r.Filter = append(r.Filter, scope.Param{
				Name:  rapid.SampledFrom([]string{"category", "code", "date"}).Draw(t, "name"),
				Value: rapid.SampledFrom([]string{"a", "b", "a,b", "s|a", `x\,y`, "a b&c=d%+", "é\"\\\\"}).Draw(t, "value"),
			})
		}
		return r
	})
}

func TestPrintedScopesReadBackTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := genResource().Draw(t, "r")
		got, err := scope.ParseResource(r.String())
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		if d := cmp.Diff(r, got, cmpopts.IgnoreUnexported(scope.Resource{}), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

// Inclusion must never say yes where a type-level question says no.
func TestInclusionIsAnOrderThatAgreesWithAllows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genResource().Draw(t, "a"), genResource().Draw(t, "b"), genResource().Draw(t, "c")
		if !a.Includes(a) {
			t.Fatalf("%s does not include itself", a)
		}
		if a.Includes(b) && b.Includes(c) && !a.Includes(c) {
			t.Fatalf("%s includes %s includes %s, but the first not the last", a, b, c)
		}
		if a.Includes(b) && b.Type != scope.AnyType {
			set := scope.Set{Resources: []scope.Resource{a}}
			if !set.Allows(b.Level, b.Type, b.Access) || !set.Includes(b) {
				t.Fatalf("%s includes %s, but a set of it does not allow it", a, b)
			}
		}
		if n, ok := a.Narrow(c.Access); ok && (!a.Includes(n) || n.Access&^c.Access != 0) {
			t.Fatalf("%s narrowed to %s is %s", a, c.Access, n)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", " ", "openid", "launch/patient openid fhirUser offline_access patient/*.rs",
		"patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
		"patient/Observation.cruds?code=a%2Cb&category=x", "user/*.read system/*.write patient/A.*",
		"patient/Observation.sr", "patient/Observation.rs?%", "patient/Observation.rs?a=%ff", "patient//.rs",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := scope.Parse(s)
		if err != nil {
			if !errors.Is(err, scope.ErrMalformed) || !set.Empty() {
				t.Fatalf("Parse(%q) = %v, %v", s, set, err)
			}
			return
		}
		printed := set.String()
		again := parse(t, printed)
		if d := cmp.Diff(set, again, cmp.AllowUnexported(scope.Resource{})); d != "" {
			t.Fatalf("%q printed as %q reads differently:\n%s", s, printed, d)
		}
		for _, w := range strings.Fields(printed) {
			if !strings.Contains(s, w) {
				t.Fatalf("%q was not in %q", w, s)
			}
		}
		for _, r := range set.Resources {
			if r.Access == 0 || r.Access&^scope.All != 0 || !set.Includes(r) {
				t.Fatalf("%q gives an impossible scope %#v", s, r)
			}
		}
	})
}
