package gateway_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestASearchOverAllTypesIsHeldInsideTheOwnRecord(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct {
		method, path, bearer, form string
		want                       int
	}{
		{"GET", "/Patient/" + bobID + "/*", alice, "", 404},
		{"GET", "/Patient/nobody/*", alice, "", 404},
		{"GET", "/Patient/" + bobID + "/%2A", alice, "", 404},
		{"GET", "/Patient/alice%2f..%2f" + bobID + "/*", alice, "", 404},
		{"POST", "/Patient/" + bobID + "/_search", alice, "_count=1", 404},
		{"GET", "/Patient/alice/*/x", alice, "", 400},
		{"GET", "/Patient/*", alice, "", 404},
		{"GET", "/*", alice, "", 404},
		{"GET", "/Practitioner/dr/*", alice, "", 400},
		{"POST", "/Patient/alice/*", alice, "x=y", 405},
		{"PUT", "/Patient/alice/*", alice, "x=y", 405},
		{"DELETE", "/Patient/alice/*", alice, "", 405},
		{"GET", "/Patient/alice/_search", alice, "", 405},
		{"GET", "/Patient/alice/*", "alice:openid", "", 403},
		{"GET", "/Patient/alice/*", "alice:patient/*.r", "", 403},
		{"GET", "/Patient/alice/*?patient=" + bobID, alice, "", 400},
		{"GET", "/Patient/alice/*?_sort=_lastUpdated", alice, "", 400},
		{"GET", "/Patient/alice/*?_include=Observation:subject", alice, "", 400},
		{"GET", "/Patient/alice/*?_revinclude:iterate=Provenance:target", alice, "", 400},
		{"GET", "/Patient/alice/*?_has:Observation:patient:code=x", alice, "", 400},
		{"GET", "/Patient/alice/*?_type=Nonsense", alice, "", 400},
		{"GET", "/Patient/alice/*?_type=Observation&_type=Goal", alice, "", 400},
		{"GET", "/Patient/alice/*?_filter=x", alice, "", 400},
		{"GET", "/Patient/alice/*?_page=AAAA", alice, "", 404},
		{"GET", "/Patient/alice/*?_lastUpdated=yesterday", alice, "", 400},
		{"GET", "/Patient/alice/*?_id=" + bobID, alice, "", 200},
		{"GET", "/Patient/alice/*?_type=Practitioner", alice, "", 200},
		{"GET", "/Patient/alice/%2a?_count=3", alice, "", 200},
		{"POST", "/Patient/alice/_search", alice, "_count=3&_type=Observation", 200},
		{"HEAD", "/Patient/alice/*", alice, "", 200},
	} {
		for _, mode := range []ehr.Mode{0, ehr.IgnorePatient | ehr.IgnoreID, ehr.ForeignRows | ehr.ExtraIncludes | ehr.NoSearchMode} {
			h.ehr.Misbehave(mode)
			if r := h.send(tt.method, tt.path, tt.bearer, tt.form); r.status != tt.want || betrays(h, mode, r) != "" {
				t.Errorf("mode %b: %s %s: %d, want %d, %s: %.300s", mode, tt.method, tt.path, r.status, tt.want, betrays(h, mode, r), r.body)
			}
		}
	}
	h.ehr.Misbehave(0)
	whole, plain := h.get("/Patient/alice/*", alice), h.get("/Patient/alice/$everything", alice)
	if got, want := len(resourcesOf(whole.body)), strings.Count(plain.body, `"mode":"match"`); got != want || got < 60 {
		t.Errorf("%d by a search, %d by the operation", got, want)
	}
	if r := h.get("/Patient/alice/*?_summary=count&_type=Observation,Goal", alice); !strings.HasPrefix(r.body, `{"resourceType":"Bundle","type":"searchset","total":2,"link":[{"relation":"self",`) {
		t.Errorf("%s", r.body)
	}
	lenient := h.get("/Patient/alice/*?_type=Goal&code=x", alice, "Prefer", "handling=lenient")
	if lenient.status != 200 || !strings.Contains(lenient.body, `"mode":"outcome"`) || !strings.Contains(lenient.body, "goal-alice") {
		t.Errorf("%d %s", lenient.status, lenient.body)
	}
	if r := h.get("/Patient/alice/*?_type=Goal&_elements=id", alice); !strings.Contains(r.body, "SUBSETTED") || strings.Contains(r.body, `"identifier"`) {
		t.Errorf("%s", r.body)
	}
}

// What the scopes leave out is not among the pages that an answer may take.
func TestASmallPageReachesPastMuchThatTheScopesLeaveOut(t *testing.T) {
	var records []string
	for i := range 250 {
		records = append(records, fmt.Sprintf(`{"resourceType":"Observation","id":"a-%03d","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/alice"}}`, i))
	}
	lab := fmt.Sprintf(`{"resourceType":"Observation","id":"z-lab","status":"final","category":[{"coding":[{"system":%q,"code":"laboratory"}]}],"code":{"text":"x"},"subject":{"reference":"Patient/alice"}}`, observationCategories)
	h := open(t, 0, append(records, lab)...)
	for _, path := range []string{"/Patient/alice/$everything?_count=1", "/Patient/alice/*?_count=1"} {
		if p := h.page(t, path, "alice:patient/Observation.rs?category="+observationCategories+"|laboratory"); !slices.Equal(p.matches, []string{"Observation/z-lab"}) || p.next != "" {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// pageOf is a page of a searchset as an app sees it.
type pageOf struct {
	matches, includes []string
	next              string
	total             *int
}

func (h *house) page(t testing.TB, path, bearer string) pageOf {
	t.Helper()
	r := h.get(path, bearer)
	var f found
	if err := json.Unmarshal([]byte(r.body), &f); err != nil || r.status != http.StatusOK {
		t.Fatalf("%s: %d %.300s", path, r.status, r.body)
	}
	out := pageOf{next: f.next(), total: f.Total}
	for _, e := range f.Entry {
		s := shapeOf(t, e.Resource)
		name := s.ResourceType + "/" + s.ID
		switch e.Search.Mode {
		case "match":
			out.matches = append(out.matches, name)
		case "include":
			out.includes = append(out.includes, name)
		}
	}
	return out
}

// readable gives what single reads with a token give, of everything there is.
func (h *house) readable(t testing.TB, all map[string][]byte, bearer string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for name := range all {
		if r := h.get("/"+name, bearer); r.status == http.StatusOK {
			out[name] = true
		}
	}
	return out
}

// referredFrom gives what of the directory resources point to, and what that
// points to, as far as it can be read.
func referredFrom(t testing.TB, names []string, all map[string][]byte, readable map[string]bool) []string {
	t.Helper()
	out := map[string]bool{}
	for range 2 {
		var next []string
		for _, from := range names {
			for to := range readable {
				typ, _, _ := strings.Cut(to, "/")
				if compartment.Of(typ).Class == compartment.Directory && !out[to] && strings.Contains(string(all[from]), `"`+to+`"`) {
					out[to] = true
					next = append(next, to)
				}
			}
		}
		names = next
	}
	return slices.Sorted(maps.Keys(out))
}

func targetsOf(t testing.TB, provenance []byte) (out []string) {
	t.Helper()
	var p struct{ Target []struct{ Reference string } }
	if err := json.Unmarshal(provenance, &p); err != nil {
		t.Fatal(err)
	}
	for _, target := range p.Target {
		out = append(out, target.Reference)
	}
	return out
}

// comesAlong is what $everything adds to the matches, by what is asked for.
func comesAlong(t testing.TB, matches, listed []string, all map[string][]byte, readable map[string]bool) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	wanted := func(typ string) bool { return listed == nil || slices.Contains(listed, typ) }
	from := slices.Clone(matches)
	for name := range readable {
		if !strings.HasPrefix(name, "Provenance/") || !wanted("Provenance") || slices.Contains(matches, name) {
			continue
		}
		for _, target := range targetsOf(t, all[name]) {
			if slices.Contains(matches, target) {
				out[name] = true
			}
		}
		if out[name] {
			from = append(from, name)
		}
	}
	for _, name := range referredFrom(t, from, all, readable) {
		if typ, _, _ := strings.Cut(name, "/"); wanted(typ) {
			out[name] = true
		}
	}
	return out
}

// smallest gives the patient of whom there is least, so that many answers are
// quick.
func smallest(all map[string][]byte) string {
	best, fewest := "", len(all)+1
	for name := range all {
		if id, ok := strings.CutPrefix(name, "Patient/"); ok {
			n := 0
			for _, raw := range all {
				if strings.Contains(string(raw), `"`+name+`"`) {
					n++
				}
			}
			if n < fewest || n == fewest && id < best {
				best, fewest = id, n
			}
		}
	}
	return best
}

// Whatever is granted: $everything, and the search over all types, give what
// single reads give, and nothing else, whole or page by page.
func TestEverythingIsTheUnionOfTheReads(t *testing.T) {
	h, _, all := recordHouse(t)
	patient := smallest(all)
	const labs, vitals = "?category=" + observationCategories + "|laboratory", "?category=" + observationCategories + "|vital-signs"
	bearers := []string{
		patient + ":patient/*.rs",
		patient + ":user/*.cruds",
		patient + ":patient/Observation.rs+patient/Condition.rs+patient/Practitioner.rs+patient/Provenance.rs",
		patient + ":patient/Observation.rs" + labs + "+patient/Provenance.rs+patient/Practitioner.rs+patient/Organization.rs",
		patient + ":patient/Observation.rs" + labs + "+patient/Observation.rs" + vitals + "+patient/Device.rs+patient/Encounter.rs+patient/Location.rs",
		patient + ":patient/DocumentReference.rs?category=http://nowhere|nothing+patient/Patient.rs",
		patient + ":patient/Observation.rs?code=http://nowhere|nothing",
	}
	types := []string{"Patient", "Observation", "Condition", "Encounter", "Provenance", "Practitioner", "MedicationRequest", "DocumentReference", "Organization"}
	reads := map[string]map[string]bool{}
	checked := 0
	rapid.Check(t, func(r *rapid.T) {
		bearer := rapid.SampledFrom(bearers).Draw(r, "bearer")
		if reads[bearer] == nil {
			reads[bearer] = h.readable(t, all, bearer)
		}
		everything := rapid.Bool().Draw(r, "everything")
		query := url.Values{}
		var listed []string
		if rapid.Bool().Draw(r, "some types") {
			listed = rapid.SliceOfNDistinct(rapid.SampledFrom(types), 1, 4, rapid.ID[string]).Draw(r, "types")
			query.Set("_type", strings.Join(listed, ","))
		}
		count := rapid.SampledFrom([]int{0, 17, 61, 200}).Draw(r, "count")
		if count > 0 {
			query.Set("_count", fmt.Sprint(count))
		}
		var want []string
		for name := range reads[bearer] {
			typ, _, _ := strings.Cut(name, "/")
			rule := compartment.Of(typ)
			if typ == "Provenance" && !slices.Contains(targetsOf(t, all[name]), "Patient/"+patient) {
				continue // no parameter finds it: it comes with what it is about
			}
			if rule.Class != compartment.Directory && len(rule.Narrow) > 0 && (listed == nil || slices.Contains(listed, typ)) {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		path := "/Patient/" + patient + "/*?" + query.Encode()
		if everything {
			path = "/Patient/" + patient + "/$everything?" + query.Encode()
		}
		if status := h.get(path, bearer).status; status == http.StatusForbidden {
			if len(want) > 0 {
				r.Fatalf("%s with %s: refused, though %v can be read", path, bearer, want)
			}
			return
		}
		var got []string
		along := map[string]bool{}
		for pages := 0; path != ""; pages++ {
			p := h.page(t, path, bearer)
			if count > 0 && len(p.matches) > count || p.next != "" && len(p.matches) == 0 || pages > 0 && len(p.matches) == 0 || p.next != "" && p.total != nil {
				r.Fatalf("%s with %s: page %d has %d matches, total %v, next %q", path, bearer, pages, len(p.matches), p.total, p.next)
			}
			if slices.Sort(p.includes); len(slices.Compact(slices.Clone(p.includes))) != len(p.includes) {
				r.Fatalf("%s: something is included twice on a page: %v", path, p.includes)
			}
			for _, name := range p.includes {
				along[name] = true
			}
			got = append(got, p.matches...)
			path = p.next
		}
		union := map[string]bool{}
		for _, name := range got {
			along[name] = true
			if !slices.Contains(want, name) {
				r.Fatalf("%s with %s: %s is no match", query.Encode(), bearer, name)
			}
		}
		for _, name := range want {
			union[name] = true
		}
		if everything {
			for name := range comesAlong(t, want, listed, all, reads[bearer]) {
				union[name] = true
			}
		}
		if diff := cmp.Diff(union, along); diff != "" {
			r.Fatalf("%s with %s: %s", query.Encode(), bearer, diff)
		}
		checked += len(want)
	})
	if checked == 0 {
		t.Error("nothing was ever found")
	}
}
