package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
)

// found is what an answer to a search says, link by link.
type found struct {
	Total *int `json:"total"`
	Entry []struct {
		Resource json.RawMessage `json:"resource"`
		Search   struct {
			Mode string `json:"mode"`
		} `json:"search"`
	} `json:"entry"`
	Link []struct{ Relation, URL string } `json:"link"`
}

func (f found) next() string {
	for _, l := range f.Link {
		if l.Relation == "next" {
			return l.URL
		}
	}
	return ""
}

// shape is what a test looks at in a resource, read without our own parts.
type shape struct {
	ResourceType, ID string
	Category         []struct {
		Coding []struct{ System, Code string }
	}
}

func shapeOf(t testing.TB, raw []byte) shape {
	t.Helper()
	var s shape
	if err := json.Unmarshal(raw, &s); err != nil {
		// category is one CodeableConcept in some types
		var bare struct{ ResourceType, ID string }
		if err := json.Unmarshal(raw, &bare); err != nil {
			t.Fatal(err)
		}
		return shape{ResourceType: bare.ResourceType, ID: bare.ID}
	}
	return s
}

func (s shape) in(categories []string) bool {
	for _, c := range s.Category {
		for _, code := range c.Coding {
			if slices.Contains(categories, code.System+"|"+code.Code) {
				return true
			}
		}
	}
	return false
}

// walk follows a search to its end and gives the matches, the includes, and how
// many pages there were.
func walk(t testing.TB, h *house, path, bearer string) (matches, includes []string, pages int) {
	t.Helper()
	for ; path != ""; pages++ {
		r := h.get(path, bearer)
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		var f found
		if err := json.Unmarshal([]byte(r.body), &f); err != nil {
			t.Fatal(err)
		}
		if f.next() != "" && f.Total != nil {
			t.Errorf("%s: a total beside a next link", path)
		}
		for _, e := range f.Entry {
			s := shapeOf(t, e.Resource)
			if e.Search.Mode == "match" {
				matches = append(matches, s.ResourceType+"/"+s.ID)
			} else {
				includes = append(includes, s.ResourceType+"/"+s.ID)
			}
		}
		if f.next() != "" && len(f.Entry) == 0 {
			t.Errorf("%s: an empty page with a next link", path)
		}
		path = f.next()
	}
	return matches, includes, pages
}

// recordHouse serves made-up records; whose is one of the patients.
func recordHouse(t testing.TB) (h *house, whose string, all map[string][]byte) {
	t.Helper()
	var raws []string
	all = map[string][]byte{}
	cast, err := records.Generate(records.Options{Seed: 3, Patients: 2, Now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}, func(raw []byte) error {
		raws = append(raws, string(raw))
		s := shapeOf(t, raw)
		all[s.ResourceType+"/"+s.ID] = raw
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range cast.People {
		for _, user := range p.FHIRUser {
			if id, ok := strings.CutPrefix(user, "Patient/"); ok && whose == "" {
				whose = id
			}
		}
	}
	return open(t, 0, raws...), whose, all
}

// Whatever is granted and whatever is searched, an app gets what it would get
// with the whole type, less what none of its scopes covers: match by match, in
// order, whatever the page size.
func TestANarrowTokenFindsTheIntersection(t *testing.T) {
	h, patient, all := recordHouse(t)
	// The categories that are really there, by type.
	there := map[string][]string{}
	for _, raw := range all {
		s := shapeOf(t, raw)
		for _, c := range s.Category {
			for _, code := range c.Coding {
				if one := code.System + "|" + code.Code; !slices.Contains(there[s.ResourceType], one) {
					there[s.ResourceType] = append(there[s.ResourceType], one)
				}
			}
		}
	}
	types := []string{"Observation", "Condition", "DiagnosticReport", "DocumentReference"}
	for _, typ := range types {
		if slices.Sort(there[typ]); len(there[typ]) == 0 {
			t.Fatalf("no %s of the records has a category", typ)
		}
	}
	full := map[string][]string{}
	checked := 0
	rapid.Check(t, func(r *rapid.T) {
		typ := rapid.SampledFrom(types).Draw(r, "type")
		granted := rapid.SliceOfNDistinct(rapid.SampledFrom(append(slices.Clone(there[typ]), "http://nowhere|nothing")), 1, 4, rapid.ID[string]).Draw(r, "granted")
		query := url.Values{}
		if rapid.Bool().Draw(r, "by category") {
			query.Set("category", rapid.SampledFrom(there[typ]).Draw(r, "category"))
		}
		if rapid.Bool().Draw(r, "by patient") {
			query.Set("patient", patient)
		}
		asked := "/" + typ + "?" + query.Encode()
		if _, ok := full[asked]; !ok {
			full[asked], _, _ = walk(t, h, asked, patient+":patient/*.rs")
		}
		var want []string
		for _, name := range full[asked] {
			if shapeOf(t, all[name]).in(granted) {
				want = append(want, name)
			}
		}
		counts := []int{23, 50, 200}
		if len(full[asked]) < 40 { // page by page takes a request for each
			counts = []int{1, 2, 7, 50}
		}
		query.Set("_count", fmt.Sprint(rapid.SampledFrom(counts).Draw(r, "count")))
		got, _, _ := walk(t, h, "/"+typ+"?"+query.Encode(), patient+":"+granularBearer(r, typ, granted))
		if !slices.Equal(got, want) {
			r.Fatalf("%s with %v:\n got %v\nwant %v", asked, granted, got, want)
		}
		checked += len(want)
		// Reads say the same as the search.
		if len(full[asked]) > 0 {
			name := rapid.SampledFrom(full[asked]).Draw(r, "read")
			status := h.get("/"+name, patient+":"+granularBearer(r, typ, granted)).status
			if in := slices.Contains(want, name); in != (status == http.StatusOK) || (!in && status != http.StatusNotFound) {
				r.Fatalf("%s, granted %v: read gives %d", name, granted, status)
			}
		}
	})
	if checked == 0 {
		t.Error("nothing was ever found")
	}
}

// granularBearer writes the scopes for some categories in one of the ways that
// mean the same.
func granularBearer(r *rapid.T, typ string, categories []string) string {
	var scopes []string
	switch rapid.IntRange(0, 3).Draw(r, "syntax") {
	case 0: // one scope with alternatives
		scopes = []string{"patient/" + typ + ".rs?category=" + strings.Join(categories, "%2C")}
	case 1: // r and s apart
		for _, c := range categories {
			scopes = append(scopes, "patient/"+typ+".r?category="+c, "patient/"+typ+".s?category="+c)
		}
	case 2: // beside a v1 scope for another type, and as a user
		for _, c := range categories {
			scopes = append(scopes, "user/"+typ+".rs?category="+c)
		}
		scopes = append(scopes, "patient/Patient.read")
	default:
		for _, c := range categories {
			scopes = append(scopes, "patient/"+typ+".cruds?category="+c)
		}
	}
	return strings.Join(scopes, "+")
}

const (
	observationCategories = "http://terminology.hl7.org/CodeSystem/observation-category"
	labsOnly              = "alice:patient/Observation.rs?category=" + observationCategories + "|laboratory"
)

// hidden is a record with a hidden part: what is no laboratory result.
func hidden() []string {
	observation := func(id, code, category, rest string) string {
		return `{"resourceType":"Observation","id":"` + id + `","status":"final","category":[{"coding":[{"system":"` + observationCategories + `","code":"` + category + `"}]}],` +
			`"code":{"coding":[{"system":"http://loinc.org","code":"` + code + `"}]},"subject":{"reference":"Patient/alice"}` + rest + `}`
	}
	out := []string{
		`{"resourceType":"Patient","id":"alice"}`,
		`{"resourceType":"Practitioner","id":"lab-doctor"}`,
		`{"resourceType":"Practitioner","id":"` + mark + `-doctor"}`,
		observation("lab-1", "1", "laboratory", `,"performer":[{"reference":"Practitioner/lab-doctor"}]`),
		observation("lab-2", "1", "laboratory", `,"hasMember":[{"reference":"Observation/`+mark+`-1"}]`),
		observation(mark+"-panel", "2", "survey", `,"hasMember":[{"reference":"Observation/lab-1"}],"device":{"reference":"Device/`+mark+`-device"}`),
		`{"resourceType":"Device","id":"` + mark + `-device"}`,
		`{"resourceType":"Provenance","id":"of-lab","target":[{"reference":"Observation/lab-1"}],"recorded":"2024-01-01T00:00:00Z"}`,
		`{"resourceType":"Provenance","id":"of-` + mark + `","target":[{"reference":"Observation/` + mark + `-1"}],"recorded":"2024-01-01T00:00:00Z"}`,
		`{"resourceType":"Provenance","id":"of-both-` + mark + `","target":[{"reference":"Observation/lab-1"},{"reference":"Observation/` + mark + `-1"}],"recorded":"2024-01-01T00:00:00Z"}`,
	}
	for i := range 9 {
		out = append(out, observation(fmt.Sprintf("%s-%d", mark, i), "2", "survey", `,"performer":[{"reference":"Practitioner/`+mark+`-doctor"}]`))
	}
	return out
}

// What is withheld must not show in anything: not as an include, not as a page,
// not as a total, not in what is asked next.
func TestNothingTellsOfWhatAGranularScopeWithholds(t *testing.T) {
	for _, mode := range []ehr.Mode{0, ehr.NoSearchMode, ehr.WrongTotal, ehr.AbsoluteURLs, ehr.ExtraIncludes} {
		h := open(t, 0, hidden()...)
		h.ehr.Misbehave(mode)
		bearer := labsOnly + "+patient/Practitioner.rs+patient/Provenance.rs+patient/Device.rs"
		for _, path := range []string{
			"/Observation", "/Observation?_count=1", "/Observation?code=2", "/Observation?code=2&_count=1", "/Observation?category=survey",
			"/Observation?_include=Observation:performer", "/Observation?_include=Observation:has-member&_count=2",
			"/Observation?code=2&_include=Observation:performer", "/Observation?_revinclude=Provenance:target",
			"/Observation?_revinclude=Observation:has-member", "/Observation?_summary=count", "/Observation?code=2&_summary=count",
			"/Observation?_id=" + mark + "-1", "/Observation/" + mark + "-1", "/Provenance/of-" + mark, "/Provenance/of-both-" + mark,
			"/Provenance?target=Observation/" + mark + "-1", "/Device/" + mark + "-device", "/Observation?device=Device/" + mark + "-device",
			"/Observation?_sort=-date&_total=accurate",
		} {
			r := h.get(path, bearer)
			// lab-2 names a hidden one, and what it says is its own.
			seen := strings.ReplaceAll(r.everything(), `"hasMember":[{"reference":"Observation/`+mark+`-1"}]`, "")
			seen = strings.ReplaceAll(seen, `"hasMember":[{"reference":"`+h.base+`/Observation/`+mark+`-1"}]`, "")
			var f found
			if err := json.Unmarshal([]byte(r.body), &f); err != nil {
				t.Fatal(err)
			}
			for _, l := range f.Link { // the self link repeats the question
				if l.Relation == "self" {
					seen = strings.ReplaceAll(seen, l.URL, "")
				}
			}
			if strings.Contains(seen, mark) {
				t.Errorf("mode %d: %s tells of what is withheld:\n%s", mode, path, r.body)
			}
			if strings.Contains(path, "code=2") && (f.next() != "" || len(f.Entry) > 0 || f.Total == nil || *f.Total != 0) {
				t.Errorf("mode %d: %s: only withheld ones match, and the answer differs from one where none does:\n%s", mode, path, r.body)
			}
			if f.Total != nil && *f.Total > 2 {
				t.Errorf("mode %d: %s: total %d counts what is withheld", mode, path, *f.Total)
			}
		}
	}
}

func TestIncludesOfWhatIsReleasedComeWithIt(t *testing.T) {
	h := open(t, 0, hidden()...)
	_, includes, pages := walk(t, h, "/Observation?_include=Observation:performer&_revinclude=Provenance:target&_count=1", labsOnly+"+patient/Practitioner.rs+patient/Provenance.rs")
	if slices.Sort(includes); !slices.Equal(includes, []string{"Practitioner/lab-doctor", "Provenance/of-lab"}) {
		t.Errorf("includes %v", includes)
	}
	if pages != 2 {
		t.Errorf("%d pages for two matches of one each", pages)
	}
}

// What a wide token has seen must not open it to a narrow one.
func TestTheMemoryOfAWideTokenOpensNothingToANarrowOne(t *testing.T) {
	h := open(t, 0, hidden()...)
	if r := h.get("/Observation/"+mark+"-panel", alice); r.status != http.StatusOK {
		t.Fatalf("%d", r.status)
	}
	if r := h.get("/Device/"+mark+"-device", alice); r.status != http.StatusOK {
		t.Fatalf("%d", r.status)
	}
	if r := h.get("/Device/"+mark+"-device", labsOnly+"+patient/Device.rs"); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestOutOfScopeAndMissingLookTheSame(t *testing.T) {
	h := open(t, 0, hidden()...)
	out, missing := h.get("/Observation/"+mark+"-1", labsOnly), h.get("/Observation/nobody", labsOnly)
	if out.status != http.StatusNotFound || out.status != missing.status || out.body != missing.body {
		t.Errorf("out of scope: %d %s\nmissing: %d %s", out.status, out.body, missing.status, missing.body)
	}
	if r := h.get("/Condition", labsOnly); r.status != http.StatusForbidden {
		t.Errorf("a type without any scope: %d", r.status)
	}
}
