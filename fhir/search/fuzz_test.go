package search_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

func FuzzParsePairs(f *testing.F) {
	for _, s := range []string{"", "a=b", "patient=A&patient=B", "%70atient=A", "a;b=c", "a=%00", "=x", "a&&b=", "a=%ff", "a+b=c+d", "a=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		pairs, err := search.ParsePairs(raw)
		if err != nil {
			return
		}
		if strings.Contains(raw, ";") {
			t.Fatal("a semicolon is read")
		}
		for _, p := range pairs {
			if p.Name == "" || !utf8.ValidString(p.Name+p.Value) || strings.ContainsFunc(p.Name+p.Value, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("%q", p)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"patient=A", "patient=A&subject=B", "code=a|b&date=ge2020", "code-value-quantity=a$gt5|b|c", "_sort=-date&_count=5&_elements=code",
		"_include=Observation:subject&_revinclude=Provenance:target", "_has:Observation:patient:code=x", "patient.name=x", "code:not=a\\,b,c",
		"value-quantity=1e9&value-string:exact=%20x", "encounter:missing=true", "date=2020-01-01T00:00:00.000%2B14:00", "unknown=x",
	} {
		f.Add("Observation", s, true)
		f.Add("Patient", s, false)
	}
	r, err := fhir.ParseResource([]byte(`{"resourceType":"Observation","id":"A","code":{"coding":[{"system":"a","code":"b"}]},"effectiveDateTime":"2020-05",
		"valueQuantity":{"value":5},"subject":{"reference":"Patient/A"},"component":[{"code":{"coding":[{"code":"c"}]},"valueString":"x"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typ, raw string, strict bool) {
		pairs, err := search.ParsePairs(raw)
		if err != nil {
			return
		}
		for _, o := range []search.Options{{Strict: strict, MaxCount: 50}, {Strict: strict, Trusted: true}} {
			q, err := search.Parse(typ, pairs, o)
			if err != nil {
				continue
			}
			again, err := search.ParsePairs(q.Encode())
			if err != nil {
				t.Fatalf("%q: %v", q.Encode(), err)
			}
			q2, err := search.Parse(typ, again, o)
			if err != nil {
				t.Fatalf("%q: %v", q.Encode(), err)
			}
			q.Ignored = nil
			if diff := cmp.Diff(q, q2); diff != "" {
				t.Fatalf("%q\n%s", q.Encode(), diff)
			}
			// Whatever was parsed can be evaluated.
			if _, err := (search.Matcher{Now: now}).Compile(q); err != nil {
				t.Fatalf("%q: %v", q.Encode(), err)
			}
			_, _ = search.Matcher{Now: now}.Match(q, r) // must not panic; a bad record may be an error
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"2020", "2020-02-29", "2020-02-30", "2020-01-01T10:00Z", "2020-01-01T10:00:00.123456789-14:00", "0000", "9999-12-31T23:59:60Z", "T", "2020-01-01T"} {
		f.Add(s)
	}
	date, _ := search.Lookup("Observation", "date")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, "\"\\,$|") || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
			return
		}
		r, err := fhir.ParseResource([]byte(`{"resourceType":"Observation","effectiveDateTime":"` + s + `"}`))
		if err != nil {
			return
		}
		ok, err := search.Matcher{}.MatchParam(search.Param{Definition: date, Values: []string{"eq" + s}}, r)
		if err == nil && !ok {
			t.Fatalf("%q is not found by itself", s)
		}
		if err == nil && (len(s) < 4 || s[0] < '0' || s[0] > '9') {
			t.Fatalf("%q counts as a date", s)
		}
	})
}

func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"5", "gt5.40", "1e2", "-0", "1e99", "1e100", "00001", "5||mg", "5|s|", "lt-5.4|http://unitsofmeasure.org|mg", "0x10", "1_000", "Inf", "1/3"} {
		f.Add(s)
	}
	quantity, _ := search.Lookup("Observation", "value-quantity")
	r, err := fhir.ParseResource([]byte(`{"resourceType":"Observation","valueQuantity":{"value":5.40,"unit":"mg"}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		is := func(prefix string) (bool, error) {
			return search.Matcher{}.MatchParam(search.Param{Definition: quantity, Values: []string{prefix + s}}, r)
		}
		equal, err := is("eq")
		if err != nil {
			return
		}
		different, err := is("ne")
		if err != nil || equal && different {
			t.Fatalf("%q: eq %v, ne %v, %v", s, equal, different, err)
		}
	})
}
