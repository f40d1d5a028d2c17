package search_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// someValue draws a value that a parameter accepts.
func someValue(t *rapid.T, d search.Definition) string {
	text := rapid.StringOfN(rapid.RuneFrom([]rune(`abcXYZ012 -_.:/+&=%#?äß漢`+"\u0301")), 1, 8, -1)
	one := func() string { return search.Escape("x" + text.Draw(t, "text")) }
	prefix := rapid.SampledFrom([]string{"", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})
	number := func() string {
		return prefix.Draw(t, "prefix") + rapid.StringMatching(`-?[0-9]{1,6}(\.[0-9]{1,4})?(e-?[0-9])?`).Draw(t, "number")
	}
	switch d.Kind {
	case search.Token:
		if rapid.Bool().Draw(t, "system") {
			return one() + "|" + one()
		}
		return one()
	case search.Date:
		when := time.Unix(rapid.Int64Range(-1<<31, 1<<33).Draw(t, "unix"), 0).UTC()
		layout := rapid.SampledFrom([]string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", time.RFC3339}).Draw(t, "layout")
		return prefix.Draw(t, "prefix") + when.Format(layout)
	case search.Number:
		return number()
	case search.Quantity:
		if rapid.Bool().Draw(t, "unit") {
			return number() + "|" + one() + "|" + one()
		}
		return number()
	case search.Reference:
		id := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9\-.]{0,63}`).Draw(t, "id")
		if len(d.Targets) > 0 && rapid.Bool().Draw(t, "typed") {
			return rapid.SampledFrom(d.Targets).Draw(t, "target") + "/" + id
		}
		return id
	}
	return one()
}

// someQuery draws the pairs of a query that an app may ask.
func someQuery(t *rapid.T) (string, []search.Pair) {
	typ := rapid.SampledFrom(search.ResourceTypes()).Draw(t, "type")
	params := search.Params(typ)
	var pairs []search.Pair
	single := false
	for range rapid.IntRange(0, 6).Draw(t, "filters") {
		d := rapid.SampledFrom(params).Draw(t, "param")
		owner := d.Compartment || d.Name == "_id"
		if d.Kind == search.Composite || owner && single {
			continue
		}
		single = single || owner
		values := []string{someValue(t, d)}
		for !owner && rapid.Bool().Draw(t, "more") {
			values = append(values, someValue(t, d))
		}
		name := d.Name
		if !owner && rapid.IntRange(0, 4).Draw(t, "missing") == 0 {
			name, values = name+":missing", []string{"true"}
		}
		pairs = append(pairs, search.Pair{Name: name, Value: strings.Join(values, ",")})
	}
	controls := rapid.SliceOfNDistinct(rapid.SampledFrom([]search.Pair{
		{Name: "_count", Value: "20"}, {Name: "_sort", Value: "-_lastUpdated,_id"}, {Name: "_elements", Value: "id,meta"},
		{Name: "_summary", Value: "data"}, {Name: "_total", Value: "none"}, {Name: "_revinclude", Value: "Provenance:target"},
		{Name: "_include:iterate", Value: "PractitionerRole:organization"}, {Name: "_format", Value: "json"},
	}), 0, 5, func(p search.Pair) string { return p.Name }).Draw(t, "controls")
	return typ, append(pairs, controls...)
}

func TestEncodeAndParseAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, pairs := someQuery(t)
		o := search.Options{Strict: true, MaxCount: 100}
		q, err := search.Parse(typ, pairs, o)
		if err != nil {
			t.Fatalf("%s?%v: %v", typ, pairs, err)
		}
		again, err := search.ParsePairs(q.Encode())
		if err != nil {
			t.Fatalf("%q: %v", q.Encode(), err)
		}
		q2, err := search.Parse(typ, again, o)
		if err != nil {
			t.Fatalf("%q: %v", q.Encode(), err)
		}
		if diff := cmp.Diff(q, q2); diff != "" {
			t.Fatalf("%q reads differently\n%s", q.Encode(), diff)
		}
	})
}

func TestTheOrderOfFiltersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, pairs := someQuery(t)
		q, err := search.Parse(typ, pairs, search.Options{Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		q2, err := search.Parse(typ, rapid.Permutation(pairs).Draw(t, "order"), search.Options{Strict: true})
		if err != nil || q.Encode() != q2.Encode() {
			t.Fatalf("%q, in another order %q, %v", q.Encode(), q2.Encode(), err)
		}
	})
}

// Whatever an app sends, what is printed names a patient at most once, and
// nothing that reaches beyond the resource searched.
func TestWhatIsPrintedStaysInsideTheLists(t *testing.T) {
	names := rapid.SampledFrom([]string{
		"patient", "subject", "Patient", "patient:Patient", "patient.name", "_has:Observation:patient:code", "_include", "_include:iterate",
		"_revinclude", "_filter", "_id", "code", "code:not", "code:in", "_list", "date", "_sort", "_elements", "performer", "focus", "subject:missing",
	})
	values := rapid.SampledFrom([]string{
		"A", "A,B", "Patient/A", "Patient/A,Patient/B", "", "*", "Observation:subject", "Observation:*", "Provenance:target", "2020", "true",
		"https://x.example/Patient/A", `A\,B`, "A|B", "-date", "subject", "A&patient=B", "A;patient=B", "A%26patient=B",
	})
	rapid.Check(t, func(t *rapid.T) {
		var pairs []search.Pair
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			pairs = append(pairs, search.Pair{Name: names.Draw(t, "name"), Value: values.Draw(t, "value")})
		}
		q, err := search.Parse("Observation", pairs, search.Options{Strict: rapid.Bool().Draw(t, "strict")})
		if err != nil {
			return
		}
		again, err := search.ParsePairs(q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		owners := 0
		for _, p := range again {
			switch p.Name {
			case "patient", "subject":
				owners++
				if !fhir.ValidID(strings.TrimPrefix(p.Value, "Patient/")) {
					t.Fatalf("%q", q.Encode())
				}
			case "performer", "_id", "code", "code:not", "date", "focus", "_sort", "_elements":
			case "_include", "_revinclude":
				if p.Value != "Observation:subject" && p.Value != "Provenance:target" {
					t.Fatalf("%q", q.Encode())
				}
			default:
				t.Fatalf("%q", q.Encode())
			}
		}
		if owners > 1 {
			t.Fatalf("%q", q.Encode())
		}
	})
}

// For one time and one searched time the prefixes hang together.
func TestDatePrefixesHangTogether(t *testing.T) {
	date, _ := search.Lookup("Observation", "date")
	rapid.Check(t, func(t *rapid.T) {
		stamp := func(name string) string {
			when := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 6000).Draw(t, name)) * time.Hour)
			return when.Format(rapid.SampledFrom([]string{"2006", "2006-01", "2006-01-02", time.RFC3339}).Draw(t, name+" layout"))
		}
		var member string
		switch a, b := stamp("a"), stamp("b"); {
		case rapid.Bool().Draw(t, "period") && a[:4] <= b[:4]:
			member = `"effectivePeriod":{"start":"` + a[:4] + `","end":"` + b + `"}`
		default:
			member = `"effectiveDateTime":"` + a + `"`
		}
		r, err := fhir.ParseResource([]byte(`{"resourceType":"Observation",` + member + `}`))
		if err != nil {
			t.Fatal(err)
		}
		want := stamp("searched")
		is := func(prefix string) bool {
			ok, err := (search.Matcher{Now: now}).MatchParam(search.Param{Definition: date, Values: []string{prefix + want}}, r)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		for name, holds := range map[string]bool{
			"eq is not ne":                  is("eq") != is("ne"),
			"no prefix is eq":               is("") == is("eq"),
			"ge is gt or eq":                is("ge") == (is("gt") || is("eq")),
			"le is lt or eq":                is("le") == (is("lt") || is("eq")),
			"sa implies gt":                 !is("sa") || is("gt"),
			"eb implies lt":                 !is("eb") || is("lt"),
			"not both sa and eb":            !is("sa") || !is("eb"),
			"eq is neither gt nor lt":       !is("eq") || !is("gt") && !is("lt"),
			"eq implies ap":                 !is("eq") || is("ap"),
			"one of eq, gt, lt holds":       is("eq") || is("gt") || is("lt"),
			"sa is not lt, eb is not gt":    !(is("sa") && is("lt")) && !(is("eb") && is("gt")),
			"apart unless it may be within": is("sa") || is("eb") || is("ap"),
		} {
			if !holds {
				t.Fatalf("%s: %s against %s", name, want, member)
			}
		}
	})
}
