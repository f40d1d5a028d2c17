package search_test

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
)

// samples are resources that are always there; records.ndjson collections are
// read too where the machine has them.
var samples = []string{
	`{"resourceType":"Patient","id":"p1","meta":{"lastUpdated":"2024-05-01T10:00:00.000Z"},"identifier":[{"system":"urn:mrn","value":"7,8|9"}],"active":true,
	"name":[{"family":"O'Brien, Jr","given":["Ana \\ $"]}],"gender":"female","birthDate":"1970-05","address":[{"city":"X","postalCode":"1"}]}`,
	`{"resourceType":"Observation","id":"o1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},
	"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],
	"subject":{"reference":"Patient/p1"},"encounter":{"reference":"https://ehr.example/fhir/Encounter/e1"},
	"effectivePeriod":{"start":"2024-05-01T10:00:00+02:00"},"valueQuantity":{"value":140.50,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}}`,
	`{"resourceType":"Appointment","id":"a1","status":"booked","start":"2024-05-01T10:00:00.5Z","participant":[{"actor":{"reference":"Patient/p1"}},{"actor":{"reference":"Practitioner/d1"}}]}`,
	`{"resourceType":"QuestionnaireResponse","id":"q1","questionnaire":"http://x.example/Questionnaire/1|2","authored":"2024"}`,
}

func records(t *testing.T) []*fhir.Resource {
	t.Helper()
	var out []*fhir.Resource
	for _, s := range samples {
		out = append(out, resource(t, s))
	}
	files, err := filepath.Glob("../../../shared/data/records/*.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			out = append(out, resource(t, lines.Text()))
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	return out
}

// asked gives values that must find the element, and values that must not.
func asked(m search.Matcher, d search.Definition, n fhir.Node) (hits, misses []string) {
	text := n.Text()
	switch d.Kind {
	case search.Token:
		if c := n.Get("coding"); c.Exists() {
			for first := range c.Items() {
				n = first
				break
			}
		}
		code := n.Get("code").Text() + n.Get("value").Text() + text // one of them
		if code == "" || d.Name == "deceased" {
			return nil, nil
		}
		hits, misses = []string{search.Escape(code)}, []string{search.Escape(code + "~"), search.Escape("urn:none") + "|" + search.Escape(code)}
		if system := n.Get("system").Text(); system != "" {
			hits = append(hits, search.Escape(system)+"|"+search.Escape(code), search.Escape(system)+"|")
		}
		if text != "" {
			misses = misses[:1] // a plain code may not know its system
		}
	case search.Date:
		if start := n.Get("start").Text(); start != "" {
			return []string{"ge" + start}, []string{"lt" + start, "eb" + start}
		}
		if text != "" && n.Name() != "occurrenceString" { // words, even if they look like a date
			return []string{text, "ge" + text, "le" + text, text[:4]}, []string{"gt" + text, "lt" + text, "ne" + text, "0001"}
		}
	case search.String:
		if family := n.Get("family").Text(); family != "" {
			text = family
		}
		if strings.TrimSpace(text) != "" {
			return []string{search.Escape(text), search.Escape(strings.ToUpper(text))}, []string{search.Escape(text + "~")}
		}
	case search.Reference:
		if n.IsString() {
			return []string{search.Escape(text)}, []string{search.Escape(text + "~")}
		}
		if ref := m.Base.Resolve(n.Get("reference").Text()); ref.Where == fhir.Local && slices.Contains(d.Targets, ref.Type) {
			return []string{ref.ID, ref.Type + "/" + ref.ID, m.Base.String() + "/" + ref.Type + "/" + ref.ID}, []string{ref.ID[1:] + "x", "https://other.example/fhir/" + ref.Type + "/" + ref.ID}
		}
	case search.Quantity:
		if value := n.Get("value").Text(); value != "" && !n.Get("comparator").Exists() {
			return []string{value, "ge" + value, "le" + value}, []string{"gt" + value, "lt" + value, "ne" + value, value + "||none"}
		}
	case search.Number:
		return []string{text, "ge" + text}, []string{"gt" + text, "ne" + text}
	case search.URI:
		return []string{search.Escape(text)}, []string{search.Escape(text + "~")}
	}
	return hits, misses
}

// What a resource holds finds it, and something else does not find it by that
// element: for every parameter of every record.
func TestRecordsAreFoundByWhatTheyHold(t *testing.T) {
	m := matcher(t)
	found := 0
	for _, r := range records(t) {
		for _, d := range search.Params(r.Type()) {
			var elements []fhir.Node
			for n := range d.Values(r) {
				elements = append(elements, n)
			}
			for _, n := range elements {
				hits, misses := asked(m, d, n)
				for i, value := range append(hits, misses...) {
					want := i < len(hits)
					if !want && len(elements) > 1 {
						break // another element may match
					}
					q, err := search.Parse(r.Type(), []search.Pair{{Name: d.Name, Value: value}}, search.Options{Strict: true, Trusted: true})
					if err != nil {
						t.Errorf("%s.%s: value %d: %v", r.Type(), d.Name, i, err)
						continue
					}
					got, err := m.Match(q, r)
					if err != nil || got != want {
						t.Errorf("%s/%s: %s=%q on %s: %v, %v; want %v", r.Type(), r.ID(), d.Name, value, n.Raw(), got, err, want)
					}
					found++
				}
			}
			missing := search.Param{Definition: d, Modifier: "missing", Values: []string{"true"}}
			if d.Kind == search.Composite {
				continue
			}
			if ok, err := m.MatchParam(missing, r); err != nil || ok != (len(elements) == 0) {
				t.Errorf("%s/%s: %s:missing is %v, %v, with %d elements", r.Type(), r.ID(), d.Name, ok, err, len(elements))
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d searches were made", found)
	}
}

// The searches of US Core that must work look at something in real records.
func TestUSCoreParametersFindSomethingInRecords(t *testing.T) {
	all := records(t)
	if len(all) == len(samples) {
		return // no collection on this machine
	}
	for _, typ := range uscore.Types() {
		for _, s := range uscore.Searches(typ) {
			for _, name := range s.Params {
				d, ok := search.Lookup(typ, name)
				if !ok {
					t.Errorf("%s has no %s", typ, name)
					continue
				}
				if s.Expectation == uscore.Shall && !slices.ContainsFunc(all, func(r *fhir.Resource) bool {
					for range d.Values(r) {
						return true
					}
					return false
				}) {
					t.Errorf("%s.%s finds nothing in any record", typ, name)
				}
			}
		}
	}
}
