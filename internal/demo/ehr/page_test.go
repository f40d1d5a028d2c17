package ehr_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// crowd loads n observations of one patient.
func crowd(t *testing.T, h *hospital, n int) {
	t.Helper()
	for i := range n {
		raw := fmt.Sprintf(`{"resourceType":"Observation","id":"o%02d","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/busy"}}`, i)
		if err := h.server.Load([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
}

// follow reads all pages from an address and gives the rows of each.
func follow(h *hospital, path string) (pages [][]string) {
	h.t.Helper()
	for path != "" {
		b := h.get(path).bundle()
		rows := []string{}
		for _, e := range b.Entry {
			rows = append(rows, strings.TrimPrefix(nameOf(e.Resource), "Observation/"))
		}
		pages = append(pages, rows)
		path = b.link("next")
		if len(pages) > 50 {
			h.t.Fatal("the pages do not end")
		}
	}
	return pages
}

func TestPagesAddUp(t *testing.T) {
	h := open(t, ehr.Options{})
	crowd(t, h, 7)
	for query, want := range map[string][][]string{
		"Observation?patient=busy&_count=3":            {{"o00", "o01", "o02"}, {"o03", "o04", "o05"}, {"o06"}},
		"Observation?patient=busy&_count=7":            {{"o00", "o01", "o02", "o03", "o04", "o05", "o06"}},
		"Observation?patient=busy&_count=4&_sort=-_id": {{"o06", "o05", "o04", "o03"}, {"o02", "o01", "o00"}},
		"Patient/busy/Observation?_count=6":            {{"o00", "o01", "o02", "o03", "o04", "o05"}, {"o06"}},
	} {
		if diff := cmp.Diff(want, follow(h, query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	posted := h.do("POST", "Observation/_search", "patient=busy&_count=4", "Content-Type: application/x-www-form-urlencoded").bundle()
	if got := len(follow(h, posted.link("next"))[0]); got != 3 {
		t.Errorf("page 2 of a posted search has %d rows", got)
	}
	second := h.get(h.get("Observation?patient=busy&_count=2").bundle().link("next")).bundle()
	if *second.Total != 7 || second.link("previous") != second.link("first") || !strings.Contains(second.link("first"), "patient=busy") {
		t.Errorf("page 2: total %d, links %v", *second.Total, second.Link)
	}
}

func TestPagesAreStableOverWrites(t *testing.T) {
	h := open(t, ehr.Options{})
	crowd(t, h, 6)
	first := h.get("Observation?patient=busy&_count=2").bundle()
	h.do("DELETE", "Observation/o00", "").want(204)
	h.do("DELETE", "Observation/o03", "").want(204)
	h.do("PUT", "Observation/new", `{"resourceType":"Observation","id":"new","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/busy"}}`).want(201)
	if diff := cmp.Diff([][]string{{"o02"}, {"o04", "o05"}}, follow(h, first.link("next"))); diff != "" {
		t.Errorf("pages after writes (-want +got):\n%s", diff)
	}
}

func TestPageTokensAreGoodWhereTheyWereGiven(t *testing.T) {
	h := open(t, ehr.Options{})
	crowd(t, h, 6)
	next := h.get("Observation?patient=busy&_count=2").bundle().link("next")
	_, token, _ := strings.Cut(next, "?")
	h.get("Condition?"+token).outcome(http.StatusGone, "expired")
	h.get("Patient/busy/Observation?"+token).outcome(http.StatusGone, "expired")
	h.get("Observation?_page=AAAA").outcome(http.StatusBadRequest, "invalid")
	h.get("Observation?_page="+strings.Repeat("A", 27)).outcome(http.StatusGone, "expired")
	h.get(next[:len(next)-2] + "8A").want(http.StatusGone) // another offset
}

func TestPageSizeIsBounded(t *testing.T) {
	h := open(t, ehr.Options{PageSize: 2, MaxPage: 3})
	crowd(t, h, 6)
	if got := follow(h, "Observation?patient=busy"); len(got) != 3 || len(got[0]) != 2 {
		t.Errorf("default: %v", got)
	}
	if got := follow(h, "Observation?patient=busy&_count=999"); len(got) != 2 || len(got[0]) != 3 {
		t.Errorf("bounded: %v", got)
	}
}

func TestIncludesBelongToTheirPage(t *testing.T) {
	h := open(t, ehr.Options{})
	first := h.get("Observation?patient=amy&_count=1&_include=Observation:subject&_revinclude=Provenance:target").bundle()
	if diff := cmp.Diff([]string{"Patient/amy", "Provenance/prov-a1"}, first.rows("include")); diff != "" {
		t.Error(diff)
	}
	second := h.get(first.link("next")).bundle()
	if diff := cmp.Diff([]string{"Patient/amy"}, second.rows("include")); diff != "" {
		t.Error(diff)
	}
}

func TestEverything(t *testing.T) {
	h := open(t, ehr.Options{PageSize: 3, MaxPage: 1000})
	b := h.get("Patient/amy/$everything").bundle()
	want := []string{"Patient/amy", "Appointment/group", "Condition/ca", "DocumentReference/doc", "Encounter/e1", "Observation/a1", "Observation/a2", "Observation/a3"}
	if diff := cmp.Diff(want, b.rows("match")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Practitioner/dr"}, b.rows("include")); diff != "" {
		t.Error(diff)
	}
	if b.link("next") != "" {
		t.Error("without _count everything comes at once")
	}
	var all []string
	for _, page := range follow(h, "Patient/amy/$everything?_count=4") {
		if len(page) > 4 {
			t.Errorf("a page of %d", len(page))
		}
		all = append(all, page...)
	}
	if len(all) != 9 {
		t.Errorf("paged: %v", all)
	}
	if got := h.get("Patient/amy/$everything?_type=Observation,Practitioner").bundle(); len(got.Entry) != 4 {
		t.Errorf("_type: %v", got.rows("match"))
	}
	if got := h.get("Patient/cat/$everything?_since=2027-01-01T00:00:00Z").bundle(); len(got.Entry) != 0 {
		t.Errorf("_since: %v", got.rows("match"))
	}
	for _, bad := range []string{"_since=yesterday", "_type=Colour", "_count=x"} {
		h.get("Patient/amy/$everything?"+bad).outcome(http.StatusBadRequest, "value")
	}
	h.do("DELETE", "Patient/cat", "").want(204)
	h.get("Patient/cat/$everything").outcome(http.StatusGone, "deleted")
}
