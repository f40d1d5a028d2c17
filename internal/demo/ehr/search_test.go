package ehr_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestSearchFinds(t *testing.T) {
	h := open(t, ehr.Options{})
	for query, want := range map[string]string{
		// indexed and not indexed ways must agree
		"Observation?patient=amy":                                     "a1 a2 a3",
		"Observation?patient=Patient/amy":                             "a1 a2 a3",
		"Observation?patient=" + h.base + "/Patient/amy":              "a1 a2 a3",
		"Observation?patient=http://other.example/fhir/Patient/amy":   "",
		"Observation?subject:Patient=amy":                             "a1 a2 a3",
		"Observation?subject=Patient/ben,Patient/amy":                 "a1 a2 a3 b1",
		"Observation?subject=Patient/ben&subject=Patient/amy":         "",
		"Observation?subject=Patient/gone":                            "nobody",
		"Observation?patient=nobody-such":                             "",
		"Observation?subject:missing=true":                            "",
		"Observation":                                                 "a1 a2 a3 b1 nobody",
		"Observation?_id=a2":                                          "a2",
		"Observation?_id=b1,a2,zz":                                    "a2 b1",
		"Observation?_id=a2&patient=ben":                              "",
		"Observation?code=2345-7":                                     "a1 a3 b1",
		"Observation?code=http://loinc.org|2345-7&patient=amy":        "a1 a3",
		"Observation?patient=amy&code=http://loinc.org|2345-7,8867-4": "a1 a2 a3",
		"Observation?patient=amy&category=laboratory":                 "a1",
		"Observation?patient=amy&status:not=final":                    "a3",
		"Observation?patient=amy&date=ge2024-06-01":                   "a1 a2",
		"Observation?patient=amy&date=2023":                           "a3",
		"Observation?patient=amy&date=ge2024&date=lt2025":             "a2",
		"Observation?date=ge1900":                                     "a1 a2 a3 b1",
		"Observation?_lastUpdated=ge2025":                             "a1",
		"Observation?value-quantity=5":                                "a1",
		"Observation?value-quantity=gt5":                              "a2",
		"Observation?encounter=e1":                                    "a1",
		"Observation?performer=Practitioner/dr":                       "a1",
		"Patient?identifier=urn:mrn|A-1":                              "amy",
		"Patient?identifier=A-1,B-2":                                  "amy ben",
		"Patient?identifier=urn:other|A-1":                            "",
		"Patient?identifier=urn:mrn|":                                 "amy ben",
		"Practitioner?identifier=urn:npi|99":                          "dr",
		"Patient?family=ash":                                          "amy",
		"Patient?name:contains=e":                                     "ben cat",
		"Patient?birthdate=1990":                                      "ben",
		"Appointment?patient=ben":                                     "group",
		"Appointment?actor=Patient/amy&date=ge2026-01-01":             "group",
		"Patient/amy/Observation":                                     "a1 a2 a3",
		"Patient/amy/Observation?code=8867-4":                         "a2",
		"Patient/ben/Appointment":                                     "group",
		"Patient/gone/Observation":                                    "nobody",
		"Patient/amy/Patient":                                         "amy",
		"Patient?_sort=family":                                        "amy ben cat",
		"Patient?_sort=-family":                                       "cat ben amy",
		"Patient?_sort=birthdate":                                     "amy ben cat",
		"Patient?_sort=-birthdate":                                    "ben amy cat",
		"Observation?patient=amy&_sort=date":                          "a3 a2 a1",
		"Observation?patient=amy&_sort=-date":                         "a1 a2 a3",
		"Observation?_sort=code,-date":                                "b1 a1 a3 a2 nobody",
		"Observation?patient=amy&_sort=value-quantity":                "a1 a2 a3",
		"Observation?patient=amy&_sort=-status,_id":                   "a3 a1 a2",
		"Observation?_sort=-_id&_id=a1,a2":                            "a2 a1",
		"Observation?patient=amy&colour=green&_colour=green":          "a1 a2 a3",
	} {
		b := h.get(query).bundle()
		got := make([]string, 0, len(b.Entry))
		for _, row := range b.rows("match") {
			_, id, _ := strings.Cut(row, "/")
			got = append(got, id)
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if b.Total == nil || *b.Total != len(got) {
			t.Errorf("%s: total %v, want %d", query, b.Total, len(got))
		}
		for _, e := range b.Entry {
			if e.FullURL != h.base+"/"+nameOf(e.Resource) {
				t.Errorf("%s: fullUrl %s", query, e.FullURL)
			}
		}
	}
}

func TestPostedSearchAddsFormToAddress(t *testing.T) {
	h := open(t, ehr.Options{})
	const form = "Content-Type: application/x-www-form-urlencoded"
	for name, c := range map[string]struct{ path, body, want string }{
		"all in the form":    {"Observation/_search", "patient=amy&status=final", "a1 a2"},
		"all in the address": {"Observation/_search?patient=amy", "", "a1 a2 a3"},
		"some in each":       {"Observation/_search?patient=amy", "status=final", "a1 a2"},
		"they contradict":    {"Observation/_search?patient=amy", "patient=ben", ""},
		"in a compartment":   {"Patient/amy/Observation/_search", "status=final", "a1 a2"},
	} {
		var got []string
		for _, row := range h.do("POST", c.path, c.body, form).bundle().rows("match") {
			got = append(got, strings.TrimPrefix(row, "Observation/"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
	h.do("POST", "Observation/_search", `{"patient":"amy"}`).outcome(415, "not-supported")
	h.do("GET", "Observation/_search", "").outcome(405, "not-supported")
}

func TestUnknownParametersAsConfiguredOrPreferred(t *testing.T) {
	for _, strict := range []bool{true, false} {
		h := open(t, ehr.Options{Strict: strict})
		for prefer, refused := range map[string]bool{"": strict, "handling=strict": true, "handling=lenient": false} {
			for _, query := range []string{"Observation?colour=green&patient=amy", "Observation?_colour=x&patient=amy", "Observation?Patient=ben&patient=amy"} {
				r := h.get(query, "Prefer: "+prefer)
				if refused {
					r.outcome(http.StatusBadRequest, "invalid")
				} else if got := len(r.bundle().Entry); got != 3 {
					t.Errorf("strict=%t, Prefer %q: %s found %d", strict, prefer, query, got)
				}
			}
		}
	}
}

func TestSearchesThatMakeNoSense(t *testing.T) {
	h := open(t, ehr.Options{})
	for _, query := range []string{
		"Observation?date=yesterday", "Observation?_count=-1", "Observation?_count=many", "Observation?_sort=colour",
		"Observation?_summary=short", "Observation?_total=maybe", "Observation?_include=Observation", "Observation?_include=Observation:code",
		"Observation?_has:Provenance:target:agent=x", "Observation?subject.name=x", "Observation?patient=", "Observation?a;b", "Observation?date:in=x",
	} {
		h.get(query).outcome(http.StatusBadRequest, "invalid")
	}
}

func TestIncludesComeOnceAndMarked(t *testing.T) {
	h := open(t, ehr.Options{})
	for query, want := range map[string]string{
		"Observation?_id=a1&_include=Observation:subject":                                                              "Patient/amy",
		"Observation?patient=amy&_include=Observation:subject&_include=Observation:performer":                          "Patient/amy Practitioner/dr",
		"Observation?_id=a1&_include=Observation:performer:Organization":                                               "",
		"Observation?_id=nobody&_include=Observation:subject":                                                          "",
		"Observation?patient=amy&_revinclude=Provenance:target":                                                        "Provenance/prov-a1",
		"Patient?_id=amy&_revinclude=Observation:subject":                                                              "Observation/a1 Observation/a2 Observation/a3",
		"Patient?_id=amy&_revinclude=Observation:subject&_revinclude=Condition:subject":                                "Observation/a1 Observation/a2 Observation/a3 Condition/ca",
		"Practitioner?_id=dr&_revinclude=PractitionerRole:practitioner&_include:iterate=PractitionerRole:organization": "PractitionerRole/role Organization/clinic",
		"Practitioner?_id=dr&_revinclude=PractitionerRole:practitioner&_include=PractitionerRole:organization":         "PractitionerRole/role",
		"Patient?_id=amy&_revinclude=Observation:subject&_include:iterate=Observation:subject":                         "Observation/a1 Observation/a2 Observation/a3",
		"Appointment?_id=group&_include=Appointment:actor":                                                             "Patient/amy Patient/ben",
	} {
		b := h.get(query).bundle()
		if diff := cmp.Diff(want, strings.Join(b.rows("include"), " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if *b.Total != len(b.rows("match")) {
			t.Errorf("%s: total %d counts more than matches", query, *b.Total)
		}
	}
}

func TestCountsWithoutRows(t *testing.T) {
	h := open(t, ehr.Options{})
	for _, query := range []string{"Observation?patient=amy&_summary=count", "Observation?patient=amy&_count=0"} {
		if b := h.get(query).bundle(); *b.Total != 3 || len(b.Entry) != 0 {
			t.Errorf("%s: total %d, %d entries", query, *b.Total, len(b.Entry))
		}
	}
	if b := h.get("Observation?patient=amy&_total=none").bundle(); b.Total != nil || len(b.Entry) != 3 {
		t.Errorf("_total=none: total %v, %d entries", b.Total, len(b.Entry))
	}
	if got := h.get("Observation?patient=amy&status=final&colour=green&_sort=date").bundle().link("self"); got != h.base+"/Observation?patient=amy&status=final&_sort=date" {
		t.Errorf("self does not say what was used: %s", got)
	}
}
