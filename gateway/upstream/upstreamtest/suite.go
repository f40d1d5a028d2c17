// Package upstreamtest is what every upstream.Reader must do: answer as a FHIR R4
// server answers that does all of search. A Reader over a server with quirks is
// held against one without. It knows no profile and no server.
package upstreamtest

import (
	"context"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/racing"
)

// Suite is a Reader to be tested.
type Suite struct {
	Want     *Reference // over the same resources, at a server without quirks
	Got      upstream.Reader
	Patients []string // ids of patients with something of everything between them
	// Skip says of a search that the server cannot be made to answer it; the
	// answer must then be a fault, not a wrong one.
	Skip func(typ string, params []string) bool
	// Missing are types of which nothing is expected to come.
	Missing []string
}

// Reference is the Reader that others are held against. It remembers what it was
// asked, so that one may serve many suites.
type Reference struct {
	reader upstream.Reader
	known  map[string]Answer
}

// NewReference takes a Reader over a server that does all of search.
func NewReference(r upstream.Reader) *Reference {
	return &Reference{reader: r, known: map[string]Answer{}}
}

func (r *Reference) all(ctx context.Context, typ, query string) (Answer, error) {
	if a, ok := r.known[typ+"?"+query]; ok {
		return a.clone(), nil
	}
	a, err := All(ctx, r.reader, typ, query)
	if err == nil {
		r.known[typ+"?"+query] = a.clone()
	}
	return a, err
}

func (a Answer) clone() Answer {
	a.Matches = slices.Clone(a.Matches)
	return a
}

// sample is of how many searches one is made under the race detector.
const sample = 5

// Run runs the suite; under the race detector a sample of it.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if racing.On {
		s.Patients = s.Patients[:2]
	}
	t.Run("reads give the same bytes", s.reads)
	t.Run("every US Core search finds the same", s.searches)
	if racing.On {
		return
	}
	t.Run("pages hold what they should and come to an end", s.pages)
	t.Run("includes are the same", s.includes)
	t.Run("forms of values mean the same", s.forms)
	t.Run("order is kept", s.order)
	t.Run("what is not there is a fault that says so", s.faults)
	t.Run("what is offered is what works", s.capabilities)
}

// Answer is all pages of a search.
type Answer struct {
	Matches, Includes []string // Type/id; matches in order, includes sorted
	Pages             []int    // matches on each page
	resources         []*fhir.Resource
}

const maxPages = 3000

// All reads all pages of a search.
func All(ctx context.Context, r upstream.Reader, typ, query string) (Answer, error) {
	var out Answer
	included := map[string]bool{}
	answer, err := r.Search(ctx, typ, query)
	for range maxPages {
		if err != nil {
			return out, err
		}
		next, err2 := page(answer, typ, &out, included)
		if err2 != nil || next == "" {
			for name := range included {
				if !slices.Contains(out.Matches, name) {
					out.Includes = append(out.Includes, name)
				}
			}
			slices.Sort(out.Includes)
			return out, err2
		}
		answer, err = r.Next(ctx, next)
	}
	return out, errors.New("the pages have no end")
}

func page(answer *upstream.Answer, typ string, out *Answer, included map[string]bool) (string, error) {
	defer func() { _ = answer.Body.Close() }()
	reader := fhir.NewBundleReader(answer.Body, 32<<20)
	matches := 0
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			out.Pages = append(out.Pages, matches)
			return reader.NextLink(), nil
		}
		if err != nil {
			return "", err
		}
		if e.Resource == nil {
			return "", errors.New("an entry without a resource")
		}
		name := e.Resource.Type() + "/" + e.Resource.ID()
		if e.Mode == "include" || e.Resource.Type() != typ {
			included[name] = true
			continue
		}
		matches++
		out.Matches = append(out.Matches, name)
		out.resources = append(out.resources, e.Resource)
	}
}

// Mine is the search for a patient's resources of a type, "" when there is none.
func Mine(typ, patient string) string {
	for _, name := range []string{"patient", "subject", "actor"} {
		if d, known := search.Lookup(typ, name); known {
			return name + "=" + url.QueryEscape(reference(d, patient))
		}
	}
	return ""
}

func reference(d search.Definition, patient string) string {
	if len(d.Targets) == 1 {
		return patient
	}
	return "Patient/" + patient
}

func (s Suite) each(t *testing.T, do func(t *testing.T, typ, patient, mine string)) {
	t.Helper()
	for _, typ := range uscore.Types() {
		if slices.Contains(s.Missing, typ) {
			continue
		}
		for _, p := range s.Patients {
			if mine := Mine(typ, p); mine != "" {
				do(t, typ, p, mine)
			}
		}
	}
}

// same holds one search against the other server.
func (s Suite) same(t *testing.T, typ, query string) (found int) {
	t.Helper()
	want, err := s.Want.all(t.Context(), typ, query)
	if err != nil {
		t.Fatalf("%s?%s: the reference: %v", typ, query, err)
	}
	got, err := All(t.Context(), s.Got, typ, query)
	if err != nil {
		t.Errorf("%s?%s: %v", typ, query, err)
		return 0
	}
	if slices.Sort(want.Matches); !equal(t, typ, query, "matches", got.Matches, want.Matches) {
		return 0
	}
	equal(t, typ, query, "includes", got.Includes, want.Includes)
	return len(want.Matches)
}

func equal(t *testing.T, typ, query, what string, got, want []string) bool {
	t.Helper()
	sorted := slices.Sorted(slices.Values(got))
	if len(slices.Compact(slices.Clone(sorted))) != len(sorted) {
		t.Errorf("%s?%s: some %s come twice", typ, query, what)
		return false
	}
	if !slices.Equal(sorted, want) {
		t.Errorf("%s?%s: %d %s, want %d", typ, query, len(got), what, len(want))
		return false
	}
	return true
}

func (s Suite) reads(t *testing.T) {
	s.each(t, func(t *testing.T, typ, _, mine string) {
		t.Helper()
		all, err := s.Want.all(t.Context(), typ, mine)
		if err != nil || len(all.resources) == 0 {
			return
		}
		one := all.resources[0]
		answer, err := s.Got.Read(t.Context(), typ, one.ID())
		if err != nil {
			t.Errorf("reading a %s: %v", typ, err)
			return
		}
		raw, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || string(raw) != string(one.Bytes()) {
			t.Errorf("reading a %s gives other bytes (%v)", typ, err)
		}
	})
}

func (s Suite) searches(t *testing.T) {
	n := 0
	for _, typ := range uscore.Types() {
		for _, one := range uscore.Searches(typ) {
			if n++; slices.Contains(s.Missing, typ) || racing.On && n%sample != 0 {
				continue
			}
			t.Run(typ+"?"+strings.Join(one.Params, "&"), func(t *testing.T) {
				asked := 0
				for _, p := range s.Patients {
					query := s.values(t, typ, one.Params, p)
					if query == nil {
						continue
					}
					if s.Skip != nil && s.Skip(typ, one.Params) {
						if _, err := All(t.Context(), s.Got, typ, query.Encode()); err == nil {
							t.Error("works after all")
						}
						asked++
						continue
					}
					asked += s.same(t, typ, query.Encode())
				}
				if asked == 0 {
					t.Log("nobody has values for this")
				}
			})
		}
	}
}

// values takes values from a resource that has them all, nil when none has.
func (s Suite) values(t *testing.T, typ string, params []string, patient string) url.Values {
	t.Helper()
	mine := Mine(typ, patient)
	if typ == "Patient" {
		mine = "_id=" + patient
	}
	all, err := s.Want.all(t.Context(), typ, mine)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all.resources {
		query := url.Values{}
		for _, name := range params {
			d, known := search.Lookup(typ, name)
			if !known {
				t.Fatalf("%s is no parameter of %s", name, typ)
			}
			value := ValueOf(d, r)
			if name == "patient" {
				value = reference(d, patient)
			}
			if value != "" {
				query.Set(name, value)
			}
		}
		if len(query) == len(params) {
			return query
		}
	}
	return nil
}

func (s Suite) pages(t *testing.T) {
	s.each(t, func(t *testing.T, typ, _, mine string) {
		t.Helper()
		want, err := s.Want.all(t.Context(), typ, mine)
		if err != nil || len(want.Matches) < 2 {
			return
		}
		for _, size := range []int{1, 7} {
			if len(want.Matches) > 5*size {
				continue
			}
			query := mine + "&_count=" + strconv.Itoa(size)
			got, err := All(t.Context(), s.Got, typ, query)
			if err != nil {
				t.Errorf("%s?%s: %v", typ, query, err)
				continue
			}
			slices.Sort(want.Matches)
			equal(t, typ, query, "matches", got.Matches, want.Matches)
			for i, n := range got.Pages {
				if n > size || n == 0 || n < size && i < len(got.Pages)-1 {
					t.Errorf("%s?%s: page %d of %d has %d", typ, query, i+1, len(got.Pages), n)
				}
			}
		}
	})
}

func (s Suite) includes(t *testing.T) {
	brought := 0
	s.each(t, func(t *testing.T, typ, _, mine string) {
		t.Helper()
		for _, in := range uscore.RevIncludes(typ) {
			brought += s.same(t, typ, mine+"&_revinclude="+in)
		}
		for _, in := range uscore.Includes(typ) {
			brought += s.same(t, typ, mine+"&_include="+in)
		}
	})
	if brought == 0 {
		t.Error("nothing was tried")
	}
	// With a filter that the server may not know: what belongs to matches that
	// stay, and to no others.
	for _, p := range s.Patients {
		if query := s.values(t, "MedicationRequest", []string{"patient", "intent", "status"}, p); query != nil && !slices.Contains(s.Missing, "MedicationRequest") {
			s.same(t, "MedicationRequest", query.Encode()+"&_include=MedicationRequest:medication&_revinclude=Provenance:target")
		}
	}
}

// forms are ways to say the same that servers read differently.
func (s Suite) forms(t *testing.T) {
	for _, p := range s.Patients {
		for _, one := range []struct{ typ, query string }{
			{"Observation", "patient=" + p + "&date=ge2000"},
			{"Observation", "patient=" + p + "&date=gt2015-03&date=lt2030-01-01T10:00:00Z"},
			{"Observation", "patient=" + p + "&date=2025"},
			{"Observation", "patient=" + p + "&date=ne2025-01-01"},
			{"Observation", "patient=" + p + "&category=laboratory,vital-signs"},
			{"Observation", "patient=" + p + "&status:not=final"},
			{"Observation", "patient=" + p + "&code=http://loinc.org|8867-4,http://loinc.org|9279-1"},
			{"Observation", "patient=" + p + "&code:missing=false&_lastUpdated=gt1990-01-01T00:00:00Z"},
			{"Condition", "patient=" + p + "&clinical-status=active,resolved"},
			{"Encounter", "subject=Patient/" + p},
			{"MedicationRequest", "patient=" + p + "&status=active,completed,stopped&intent=order"},
			{"Patient", "_id=" + p},
			{"Patient", "_id=nobody-at-all"},
		} {
			if !slices.Contains(s.Missing, one.typ) && (s.Skip == nil || !s.Skip(one.typ, strings.Split(one.query, "&"))) {
				s.same(t, one.typ, strings.ReplaceAll(one.query, "|", "%7C"))
			}
		}
	}
	s.byID(t)
}

func (s Suite) byID(t *testing.T) {
	t.Helper()
	p, other := s.Patients[0], s.Patients[1]
	var ids []string
	for _, one := range s.Patients[:2] {
		all, err := s.Want.all(t.Context(), "Condition", Mine("Condition", one))
		if err != nil || len(all.resources) == 0 {
			t.Fatalf("no conditions: %v", err)
		}
		ids = append(ids, all.resources[0].ID())
	}
	for _, query := range []string{
		"_id=" + ids[0], "_id=" + ids[0] + "," + ids[1] + ",none",
		"_id=" + ids[0] + "&patient=" + p, "_id=" + ids[0] + "&patient=" + other, "_id=" + strings.Join(ids, ",") + "&patient=" + other,
	} {
		s.same(t, "Condition", query)
	}
}

func (s Suite) order(t *testing.T) {
	for _, p := range s.Patients {
		for _, query := range []string{"&_sort=date", "&_sort=-date&_count=9"} {
			query = "patient=" + p + query
			got, err := All(t.Context(), s.Got, "Observation", query)
			if err != nil {
				t.Errorf("Observation?%s: %v", query, err)
				continue
			}
			d, _ := search.Lookup("Observation", "date")
			last := ""
			for _, r := range got.resources {
				at := ""
				for v := range d.Values(r) {
					at = v.Get("start").Text() + v.Text()
				}
				if len(at) < 10 {
					continue
				}
				if at = at[:10]; last != "" && (at < last) != strings.Contains(query, "-date") && at != last {
					t.Fatalf("Observation?%s: %s after %s", query, at, last)
				}
				last = at
			}
		}
	}
}

func (s Suite) faults(t *testing.T) {
	kind := func(what string, answer *upstream.Answer, err error, want ...fault.Kind) {
		t.Helper()
		if err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s: no fault", what)
		} else if !slices.Contains(want, fault.KindOf(err)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, id := range []string{"nobody", "..", "a b", "a/b", "", strings.Repeat("x", 65)} {
		answer, err := s.Got.Read(t.Context(), "Patient", id)
		kind("reading "+id, answer, err, fault.NotFound)
	}
	for _, link := range []string{
		"http://elsewhere.invalid/fhir/Patient?page=2", "//elsewhere.invalid/fhir", "portico-quirk:", "portico-quirk:e30",
		"portico-quirk:AAAA", "file:///etc/passwd", "", "::", "javascript:alert(1)",
	} {
		answer, err := s.Got.Next(t.Context(), link)
		kind("following "+link, answer, err, fault.Upstream, fault.NotFound, fault.Unsupported)
	}
}

func (s Suite) capabilities(t *testing.T) {
	known, err := s.Got.Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range uscore.Types() {
		if slices.Contains(s.Missing, typ) || len(uscore.Searches(typ)) == 0 {
			continue
		}
		if !known.Types[typ].Interactions["search-type"] || !known.Types[typ].Interactions["read"] {
			t.Errorf("%s is not offered", typ)
		}
		for _, one := range uscore.Searches(typ) {
			for _, name := range one.Params {
				if !known.Types[typ].Params[name] && (s.Skip == nil || !s.Skip(typ, one.Params)) {
					t.Errorf("%s?%s is not offered", typ, name)
				}
			}
		}
	}
}
