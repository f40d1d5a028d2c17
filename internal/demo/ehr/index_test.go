package ehr_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"pgregory.net/rapid"
)

// TestIndexFindsWhatAScanFinds compares searches that go through the index with
// the matcher applied to every resource.
func TestIndexFindsWhatAScanFinds(t *testing.T) {
	const base = "http://ehr.example/fhir"
	at, err := fhir.ParseBase(base)
	if err != nil {
		t.Fatal(err)
	}
	ids := rapid.SampledFrom([]string{"a", "b", "c"})
	reference := rapid.Custom(func(t *rapid.T) string {
		form := rapid.SampledFrom([]string{
			"Patient/%s", "Patient/%s", "Patient/%s/_history/2", base + "/Patient/%s", base + "/Patient/%s/_history/1",
			"http://other.example/fhir/Patient/%s", "Group/%s", "#%s", "urn:uuid:%s", "Patient/%s?x=1",
		}).Draw(t, "form")
		return fmt.Sprintf(form, ids.Draw(t, "id"))
	})
	value := rapid.Custom(func(t *rapid.T) string {
		form := rapid.SampledFrom([]string{"Patient/%s", "%s", base + "/Patient/%s", "Group/%s", "http://other.example/fhir/Patient/%s"}).Draw(t, "form")
		return fmt.Sprintf(form, ids.Draw(t, "id"))
	})
	rapid.Check(t, func(t *rapid.T) {
		server := ehr.New(ehr.Options{PageSize: 1000})
		all := map[string]*fhir.Resource{}
		var order []string
		for range rapid.IntRange(0, 30).Draw(t, "writes") {
			id := fmt.Sprint("o", rapid.IntRange(0, 15).Draw(t, "resource"))
			raw := fmt.Appendf(nil, `{"resourceType":"Observation","id":%q,"subject":{"reference":%q},"performer":[{"reference":%q}]}`,
				id, reference.Draw(t, "subject"), reference.Draw(t, "performer"))
			if err := server.Load(raw); err != nil {
				t.Fatal(err)
			}
			if all[id] == nil {
				order = append(order, id)
			}
			if all[id], err = fhir.ParseResource(raw); err != nil {
				t.Fatal(err)
			}
		}
		pairs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) search.Pair {
			joined := value.Draw(t, "value")
			if rapid.Bool().Draw(t, "or") {
				joined += "," + value.Draw(t, "other value")
			}
			return search.Pair{Name: rapid.SampledFrom([]string{"subject", "performer", "subject:Group"}).Draw(t, "name"), Value: joined}
		}), 1, 3).Draw(t, "query")
		q, err := search.Parse("Observation", pairs, search.Options{Trusted: true, Base: at})
		if err != nil {
			return // two types at once and the like
		}
		want := []string{}
		for _, id := range order {
			ok, err := search.Matcher{Base: at, Now: time.Now}.Match(q, all[id])
			if err == nil && ok {
				want = append(want, id)
			}
		}
		recorded := httptest.NewRecorder()
		server.ServeHTTP(recorded, httptest.NewRequest(http.MethodGet, base+"/Observation?"+q.Encode(), nil))
		var got bundle
		if err := json.Unmarshal(recorded.Body.Bytes(), &got); err != nil || recorded.Code != http.StatusOK {
			t.Fatalf("%d %v %s", recorded.Code, err, recorded.Body)
		}
		found := []string{}
		for _, e := range got.Entry {
			found = append(found, nameOf(e.Resource)[len("Observation/"):])
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Fatalf("%s (-matcher +server):\n%s", q.Encode(), diff)
		}
	})
}

// TestCanonicalReferencesAreFoundByScan: an element of type canonical is no
// Reference, so the index does not know it.
func TestCanonicalReferencesAreFoundByScan(t *testing.T) {
	h := open(t, ehr.Options{})
	for _, raw := range []string{
		`{"resourceType":"QuestionnaireResponse","id":"r1","status":"completed","questionnaire":"http://forms.example/Questionnaire/f|1.0"}`,
		`{"resourceType":"QuestionnaireResponse","id":"r2","status":"completed","questionnaire":"Questionnaire/f"}`,
	} {
		if err := h.server.Load([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"questionnaire=http://forms.example/Questionnaire/f": "QuestionnaireResponse/r1",
		"questionnaire=Questionnaire/f":                      "QuestionnaireResponse/r2",
	} {
		got := h.get("QuestionnaireResponse?" + query).bundle().rows("match")
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}
