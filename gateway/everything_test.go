package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestEverythingIsTheOwnRecordWithinTheScopes(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, mode := range []ehr.Mode{0, ehr.IgnorePatient, ehr.ForeignRows | ehr.ExtraIncludes | ehr.AbsoluteURLs} {
		h.ehr.Misbehave(mode)
		r := h.get("/Patient/alice/$everything", alice)
		if r.status != 200 || betrays(h, mode, r) != "" {
			t.Fatalf("mode %b: %d gives away %q", mode, r.status, betrays(h, mode, r))
		}
		for _, typ := range compartment.Types() {
			rule := compartment.Of(typ)
			if rule.Class != compartment.Own && rule.Class != compartment.Shared || len(rule.Narrow) == 0 {
				continue
			}
			if id := `"id":"` + strings.ToLower(typ) + `-alice"`; strings.Count(r.body, id) != 1 {
				t.Errorf("mode %b: %s is there %d times", mode, typ, strings.Count(r.body, id))
			}
		}
	}
	h.ehr.Misbehave(0)
	h.sink.take()
	narrow := h.get("/Patient/$everything", "alice:patient/Observation.rs+patient/Condition.rs")
	if narrow.status != 200 || !strings.Contains(narrow.body, "observation-alice") || !strings.Contains(narrow.body, "condition-alice") || strings.Contains(narrow.body, "procedure-alice") || strings.Contains(narrow.body, `"resourceType":"Patient"`) {
		t.Errorf("%d %s", narrow.status, narrow.body)
	}
	if events := h.sink.take(); len(events) != 1 || events[0].Interaction != "$everything" || events[0].Released != 2 {
		t.Errorf("%+v", events)
	}
	typed := h.get("/Patient/alice/$everything?_type=Observation,Goal&_count=10", alice)
	if head := h.send("HEAD", "/Patient/alice/$everything?_count=2", alice, ""); head.status != 200 || head.body != "" {
		t.Errorf("HEAD: %d", head.status)
	}
	if typed.status != 200 || strings.Count(typed.body, `"fullUrl"`) != 2 {
		t.Errorf("%s", typed.body)
	}
}

func TestEverythingRefusesWhatItCannotMean(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct {
		method, path, bearer string
		want                 int
	}{
		{"GET", "/Patient/" + bobID + "/$everything", alice, 404},
		{"GET", "/Patient/nobody/$everything", alice, 404},
		{"GET", "/Patient/alice/$everything", "alice:openid", 403},
		{"GET", "/Patient/alice/$everything", "alice:patient/Observation.r", 403},
		{"GET", "/Patient/alice/$everything?_type=Nonsense", alice, 400},
		{"GET", "/Patient/alice/$everything?_type=Observation&_type=Goal", alice, 400},
		{"GET", "/Patient/alice/$everything?_since=yesterday", alice, 400},
		{"GET", "/Patient/alice/$everything?patient=" + bobID, alice, 400},
		{"GET", "/Patient/alice/$everything?_format=xml", alice, 406},
		{"GET", "/Patient/alice/$everything?_type=Observation,Nonsense", alice, 400},
		{"GET", "/Patient/alice/$everything?_since=2024", alice, 400},
		{"GET", "/Patient/alice/$everything?start=yesterday", alice, 400},
		{"GET", "/Patient/alice/$everything?start=gt2024", alice, 400},
		{"GET", "/Patient/alice/$everything?_type=Patient&end=yesterday", alice, 400},
		{"GET", "/Patient/alice/$everything?_count=-1", alice, 400},
		{"GET", "/Patient/alice/$everything?_count=x", alice, 400},
		{"GET", "/Patient/alice/$everything?_elements=id&_summary=true", alice, 400},
		{"GET", "/Patient/alice/$everything?_page=AAAA", alice, 404},
		{"GET", "/Patient/alice/$everything/x", alice, 400},
		{"GET", "/Patient/..%2f" + bobID + "/$everything", alice, 404},
		{"GET", "/Patient/" + bobID + "/%24everything", alice, 404},
		{"PUT", "/Patient/alice/$everything", alice, 405},
		{"DELETE", "/Patient/alice/$everything", alice, 405},
		{"GET", "/Observation/alice/$everything", alice, 400},
		{"GET", "/Patient/alice/x/$everything", alice, 400},
	} {
		if r := h.send(tt.method, tt.path, tt.bearer, ""); r.status != tt.want || betrays(h, 0, r) != "" {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, r.status, r.body)
		}
	}
}

func TestEverythingFollowsPagesAndDates(t *testing.T) {
	var records []string
	for i := range 120 {
		records = append(records, fmt.Sprintf(`{"resourceType":"Observation","id":"o-%03d","meta":{"lastUpdated":"20%02d-01-01T00:00:00Z"},"subject":{"reference":"Patient/alice"}}`, i, i%30))
	}
	h := open(t, 256, records...)
	ids, links := h.pages("/Patient/alice/$everything", alice)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 120 || len(links) != 0 {
		t.Errorf("%d resources, %d links", len(ids), len(links))
	}
	ids, _ = h.pages("/Patient/alice/$everything?_since=2020-01-01T00:00:00Z", alice)
	if len(ids) != 40 {
		t.Errorf("%d resources since 2020", len(ids))
	}
}
