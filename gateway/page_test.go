package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
)

// twoPages is an EHR whose every search has one Observation and another page.
func twoPages() *scripted {
	return &scripted{search: func(string) string {
		return `{"resourceType":"Bundle","link":[{"relation":"next","url":"https://ehr.example.org/fhir?more=Observation"}],` +
			`"entry":[{"resource":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}}]}`
	}}
}

func nextOf(t *testing.T, r reply) string {
	t.Helper()
	_, link, found := strings.Cut(r.body, `"relation":"next","url":"`)
	if !found {
		t.Fatalf("no next link: %d %s", r.status, r.body)
	}
	link, _, _ = strings.Cut(link, `"`)
	return link
}

func TestAPagingLinkEndsAfterAnHour(t *testing.T) {
	now := time.Now()
	h := openOver(t, twoPages(), somewhere(t), 0, func(o *gateway.Options) { o.Now = func() time.Time { return now } })
	// The bearers of the house are good for an hour from the real time.
	link := nextOf(t, h.get("/Observation", alice))
	now = now.Add(59 * time.Minute)
	if r := h.get(link, alice); r.status != http.StatusOK {
		t.Errorf("within the hour: %d", r.status)
	}
	now = now.Add(-2 * time.Hour)
	link = nextOf(t, h.get("/Observation", alice))
	now = now.Add(time.Hour)
	if r := h.get(link, alice); r.status != http.StatusNotFound {
		t.Errorf("after the hour: %d", r.status)
	}
}

func TestATotalIsOfTheWholeOrNotThere(t *testing.T) {
	h := openOver(t, twoPages(), somewhere(t), 0)
	first := h.get("/Observation", alice)
	if strings.Contains(first.body, `"total"`) || !strings.Contains(first.body, `"o"`) {
		t.Errorf("a first page of several: %s", first.body)
	}
	whole := &scripted{search: func(string) string {
		return `{"resourceType":"Bundle","total":7,"entry":[{"resource":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}}]}`
	}}
	h = openOver(t, whole, somewhere(t), 0)
	if r := h.get("/Observation", alice); !strings.Contains(r.body, `"total":1`) {
		t.Errorf("the whole: %s", r.body)
	}
	if r := h.get("/Observation?_total=none", alice); strings.Contains(r.body, `"total"`) {
		t.Errorf("nobody asked for a total: %s", r.body)
	}
}

func TestTooManyPagesToCountAreSaidToBe(t *testing.T) {
	h := openOver(t, twoPages(), somewhere(t), 0)
	if r := h.get("/Observation?_summary=count", alice); r.status != http.StatusBadRequest || strings.Contains(r.body, `"total"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestALongSearchHasLinksThatCanBeFollowedOrNone(t *testing.T) {
	h := openOver(t, twoPages(), somewhere(t), 0)
	r := h.send(http.MethodPost, "/Observation/_search", alice, "code:not="+strings.Repeat("a,", 7000)+"b")
	if r.status != http.StatusBadRequest { // more values than one parameter may have
		t.Errorf("%d", r.status)
	}
	long := "code:not=" + strings.Repeat("x", 10_000)
	r = h.send(http.MethodPost, "/Observation/_search", alice, long)
	link := nextOf(t, r)
	if len(link) < 10_000 || len(link) > gateway.MaxLink {
		t.Errorf("a link of %d bytes", len(link))
	}
	if r := h.get(link, alice); r.status != http.StatusOK {
		t.Errorf("the next page: %d", r.status)
	}
	wide := "code:not=" + strings.Repeat("é", 7_000) // three times as long in a URL
	if r := h.send(http.MethodPost, "/Observation/_search", alice, wide); r.status != http.StatusRequestEntityTooLarge || strings.Contains(r.body, "next") {
		t.Errorf("%d %.200s", r.status, r.body)
	}
}

// The self link says what was used (R4 http, "Search"), whether something was found
// or not. What could name somebody is not repeated when nothing was found: the
// answer about a stranger's resource holds not even its id.
func TestASelfLinkSaysWhatWasUsedAndRepeatsNobody(t *testing.T) {
	empty := &scripted{search: func(string) string { return `{"resourceType":"Bundle"}` }}
	h := openOver(t, empty, somewhere(t), 0)
	one := &scripted{search: func(string) string {
		return `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}}]}`
	}}
	full := openOver(t, one, somewhere(t), 0)
	for _, tt := range []struct {
		path string
		self string // "": there is none when nothing was found
	}{
		{"/Observation?_id=other", ""},
		{"/Observation?identifier=urn:mrn%7C123", ""},
		{"/Observation?encounter=Encounter/other", ""},
		{"/Observation?performer=Practitioner/x", ""},
		{"/Observation?status=final&value-string=Doe", ""},
		{"/Patient?birthdate=1970-01-01", ""},
		{"/Practitioner?name=Doe", ""},
		{"/Practitioner?phone=555", ""},
		{"/Observation", "/Observation"},
		{"/Observation?patient=alice&category=laboratory&date=ge2020", "/Observation?category=laboratory&date=ge2020&patient=alice"},
		{"/Observation?code=http://loinc.org%7C4548-4&_sort=-date&_count=5", "/Observation?code=http://loinc.org%7C4548-4&_sort=-date&_count=5"},
		{"/Observation?_summary=count&status=final", "/Observation?status=final&_summary=count"},
		{"/Observation?category=laboratory&nonsense=Doe", "/Observation?category=laboratory"}, // handling=lenient
	} {
		self := ""
		if r := h.get(tt.path, alice, "Prefer", "handling=lenient"); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", tt.path, r.status, r.body)
		} else if _, after, ok := strings.Cut(r.body, `"relation":"self","url":"`); ok {
			self, _, _ = strings.Cut(after, `"`)
		}
		if want := h.base + tt.self; tt.self != "" && self != want || tt.self == "" && self != "" {
			t.Errorf("%s: self %q, want %q", tt.path, self, tt.self)
		}
	}
	// A count that is not 0 is of the app's own.
	if r := full.get("/Observation?_summary=count&_id=o", alice); !strings.Contains(r.body, `"total":1`) || !strings.Contains(r.body, `"relation":"self"`) {
		t.Errorf("%s", r.body)
	}
}
