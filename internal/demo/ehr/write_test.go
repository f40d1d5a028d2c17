package ehr_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestCreateSetsOnlyIdAndMeta(t *testing.T) {
	h := open(t, ehr.Options{})
	for given, want := range map[string]string{
		`{"resourceType":"Basic","code":{"text":"1.00"} , "x":1.50}`:                `{"meta":{"lastUpdated":"T","versionId":"1"},"id":"ID","resourceType":"Basic","code":{"text":"1.00"} , "x":1.50}`,
		`{"resourceType":"Basic","id":"mine","meta":{"tag":[{"code":"k"}]}}`:        `{"resourceType":"Basic","id":"ID","meta":{"versionId":"1","lastUpdated":"T","tag":[{"code":"k"}]}}`,
		`{"resourceType":"Basic","meta":{ "versionId":"9" ,"lastUpdated":"1999" }}`: `{"id":"ID","resourceType":"Basic","meta":{ "versionId":"1" ,"lastUpdated":"T" }}`,
		" \n" + `{"meta":{},"resourceType":"Basic","id":"mine"}` + "\n":             `{"meta":{"lastUpdated":"T","versionId":"1"},"resourceType":"Basic","id":"ID"}`,
	} {
		r := h.do("POST", "Basic", given).want(http.StatusCreated)
		_, id, _ := strings.Cut(nameOf(r.body), "/")
		if r.header.Get("Location") != h.base+"/Basic/"+id+"/_history/1" || r.header.Get("ETag") != `W/"1"` || r.header.Get("Last-Modified") == "" || id == "mine" || !fhir.ValidID(id) {
			t.Errorf("headers %v for id %q", r.header, id)
		}
		got := strings.NewReplacer(id, "ID", "2026-05-06T12:00:00.000Z", "T").Replace(string(r.body))
		if !sameMembers(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", given, got, want)
		}
		if again := h.get("Basic/" + id).want(200); string(again.body) != string(r.body) {
			t.Errorf("read differs from what create said: %s", again.body)
		}
	}
}

// sameMembers compares texts, whichever of id and meta was put first.
func sameMembers(got, want string) bool {
	const meta = `"meta":{"lastUpdated":"T","versionId":"1"},`
	swapped := strings.Replace(want, meta+`"id":"ID",`, `"id":"ID",`+meta, 1)
	return got == want || got == swapped
}

func TestUpdateKeepsVersions(t *testing.T) {
	h := open(t, ehr.Options{})
	const v2 = `{"resourceType":"Patient","id":"amy","active":true}`
	r := h.do("PUT", "Patient/amy", v2).want(http.StatusOK)
	if r.header.Get("ETag") != `W/"2"` {
		t.Errorf("ETag %s", r.header.Get("ETag"))
	}
	if got := h.get("Patient/amy/_history/1").want(200); string(got.body) != known(t, "Patient/amy") || got.header.Get("ETag") != `W/"1"` {
		t.Errorf("version 1 has changed: %s", got.body)
	}
	h.do("DELETE", "Patient/amy", "").want(http.StatusNoContent)
	h.get("Patient/amy").outcome(http.StatusGone, "deleted")
	h.get("Patient/amy/_history/3").outcome(http.StatusGone, "deleted")
	if got := h.get("Patient?_id=amy").bundle(); len(got.Entry) != 0 {
		t.Error("a deleted resource is found")
	}
	if got := h.get("Observation?_id=a1&_include=Observation:subject").bundle(); len(got.rows("include")) != 0 {
		t.Error("a deleted resource is included")
	}
	h.do("DELETE", "Patient/amy", "").want(http.StatusNoContent)
	h.do("PUT", "Patient/amy", v2).want(http.StatusCreated)
	b := h.get("Patient/amy/_history").bundle()
	var got []string
	for _, e := range b.Entry {
		got = append(got, fmt.Sprint(e.Request.Method, " ", e.Response.Etag, " ", len(e.Resource) > 0))
	}
	want := []string{`PUT W/"4" true`, `DELETE W/"3" false`, `PUT W/"2" true`, `POST W/"1" true`}
	if diff := cmp.Diff(want, got); diff != "" || b.Type != "history" || *b.Total != 4 {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	page := h.get("Patient/amy/_history?_count=3").bundle()
	if rest := h.get(page.link("next")).bundle(); len(rest.Entry) != 1 || rest.Entry[0].Response.Etag != `W/"1"` {
		t.Errorf("page 2 of a history: %+v", rest.Entry)
	}
	if next := h.do("PUT", "Patient/cat", `{"resourceType":"Patient","id":"cat"}`).want(200).header.Get("ETag"); next != `W/"8"` {
		t.Errorf("after loaded version 7 comes %s", next)
	}
}

func TestWritesThatAreRefused(t *testing.T) {
	h := open(t, ehr.Options{})
	const ok = `{"resourceType":"Patient","id":"amy"}`
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		"no JSON":                {"POST", "Patient", "{", nil, 400, "structure"},
		"duplicate names":        {"POST", "Patient", `{"resourceType":"Patient","id":"a","id":"b"}`, nil, 400, "structure"},
		"bad UTF-8":              {"POST", "Patient", "{\"resourceType\":\"Patient\",\"x\":\"\xff\"}", nil, 400, "structure"},
		"no resource":            {"POST", "Patient", `[]`, nil, 400, "structure"},
		"another type":           {"POST", "Observation", ok, nil, 400, "invalid"},
		"another id":             {"PUT", "Patient/ben", ok, nil, 400, "invalid"},
		"no id on update":        {"PUT", "Patient/amy", `{"resourceType":"Patient"}`, nil, 400, "invalid"},
		"meta is no object":      {"PUT", "Patient/amy", `{"resourceType":"Patient","id":"amy","meta":[]}`, nil, 400, "structure"},
		"XML":                    {"POST", "Patient", "<Patient/>", []string{"Content-Type: application/fhir+xml"}, 415, "not-supported"},
		"an old version":         {"PUT", "Patient/cat", `{"resourceType":"Patient","id":"cat"}`, []string{`If-Match: W/"6"`}, 412, "conflict"},
		"a version of nothing":   {"PUT", "Patient/new", `{"resourceType":"Patient","id":"new"}`, []string{`If-Match: W/"1"`}, 412, "conflict"},
		"delete an old version":  {"DELETE", "Patient/cat", "", []string{`If-Match: W/"6"`}, 412, "conflict"},
		"several matches":        {"POST", "Observation", `{"resourceType":"Observation"}`, []string{"If-None-Exist: code=2345-7"}, 412, "multiple-matches"},
		"a condition of nothing": {"POST", "Patient", ok, []string{"If-None-Exist: _count=1"}, 412, "invalid"},
		"an unknown condition":   {"POST", "Patient", ok, []string{"If-None-Exist: colour=green"}, 400, "invalid"},
		"a transaction":          {"POST", "", `{"resourceType":"Bundle","type":"transaction"}`, nil, 400, "not-supported"},
		"a collection":           {"POST", "", `{"resourceType":"Bundle","type":"collection"}`, nil, 400, "value"},
		"no bundle":              {"POST", "", ok, nil, 400, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			(&hospital{t, h.server, h.base, h.client}).do(c.method, c.path, c.body, c.headers...).outcome(c.status, c.code)
		})
	}
	if got := h.get("Patient/amy").want(200); string(got.body) != known(t, "Patient/amy") {
		t.Error("a refused write has changed something")
	}
}

func TestConditionalCreateGivesWhatIsThere(t *testing.T) {
	h := open(t, ehr.Options{})
	const body = `{"resourceType":"Patient","identifier":[{"system":"urn:mrn","value":"N-1"}]}`
	r := h.do("POST", "Patient", body, "If-None-Exist: identifier=urn:mrn|A-1").want(http.StatusOK)
	if string(r.body) != known(t, "Patient/amy") {
		t.Errorf("got %s", r.body)
	}
	first := h.do("POST", "Patient", body, "If-None-Exist: identifier=urn:mrn|N-1").want(http.StatusCreated)
	second := h.do("POST", "Patient", body, "If-None-Exist: identifier=urn:mrn|N-1").want(http.StatusOK)
	if nameOf(first.body) != nameOf(second.body) {
		t.Error("created twice")
	}
}

func TestPreferReturn(t *testing.T) {
	h := open(t, ehr.Options{})
	if r := h.do("POST", "Basic", `{"resourceType":"Basic"}`, "Prefer: return=minimal").want(201); len(r.body) != 0 {
		t.Errorf("minimal: %s", r.body)
	}
	h.do("POST", "Basic", `{"resourceType":"Basic"}`, "Prefer: return=OperationOutcome").outcome(201, "informational")
}

func TestConcurrentUpdatesWithIfMatchLoseNothing(t *testing.T) {
	h := open(t, ehr.Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 16 {
		wg.Go(func() {
			r, err := h.try("PUT", "Patient/cat", fmt.Sprintf(`{"resourceType":"Patient","id":"cat","name":[{"family":"n%d"}]}`, i), `If-Match: W/"7"`)
			if err != nil || r.status != 200 && r.status != 412 {
				t.Errorf("status %d, %v", r.status, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if r.status == 200 {
				won++
			}
		})
		wg.Go(func() {
			if r, err := h.try("GET", "Patient?name=n&_sort=family", ""); err != nil || r.status != 200 {
				t.Errorf("search meanwhile: %d, %v", r.status, err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d writers won", won)
	}
}

func TestBatchDoesEachEntryAlone(t *testing.T) {
	h := open(t, ehr.Options{Bearer: "b"})
	const auth = "Authorization: Bearer b"
	body := `{"resourceType":"Bundle","type":"batch","entry":[
		{"request":{"method":"GET","url":"Patient/amy"}},
		{"request":{"method":"GET","url":"/Patient/nobody"}},
		{"request":{"method":"GET","url":"Observation?patient=amy&_count=1"}},
		{"request":{"method":"GET","url":"` + h.base + `/Patient/cat","ifNoneMatch":"W/\"7\""}},
		{"request":{"method":"POST","url":"Basic"},"resource":{"resourceType":"Basic","n":1.00}},
		{"request":{"method":"PUT","url":"Patient/cat","ifMatch":"W/\"1\""},"resource":{"resourceType":"Patient","id":"cat"}},
		{"request":{"method":"DELETE","url":"Condition/cb"}},
		{"request":{"method":"GET","url":"http://other.example/fhir/Patient/amy"}},
		{"request":{"method":"POST","url":""},"resource":{"resourceType":"Bundle","type":"batch"}},
		{"request":{"method":"GET","url":"Patient/amy?_format=xml"}}, {}]}`
	b := h.do("POST", "", body, auth).bundle()
	var got []string
	for _, e := range b.Entry {
		got = append(got, strings.TrimSpace(e.Response.Status[:3]+" "+nameOf(e.Resource)+" "+string(e.Response.Outcome[:min(1, len(e.Response.Outcome))])))
	}
	want := []string{"200 Patient/amy", "404 ? {", "200 Bundle/", "304 ?", "201 Basic/", "412 ? {", "204 ?", "400 ? {", "400 ? {", "406 ? {", "405 ? {"}
	for i := range got {
		if strings.HasPrefix(got[i], "201 Basic/") {
			got[i] = "201 Basic/"
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if string(b.Entry[0].Resource) != known(t, "Patient/amy") {
		t.Errorf("bytes changed: %s", b.Entry[0].Resource)
	}
	h.get("Condition/cb", auth).want(http.StatusGone)
	h.do("POST", "", body).outcome(401, "login")
}

func TestCapabilityStatementSaysWhatIsThere(t *testing.T) {
	h := open(t, ehr.Options{})
	var c struct {
		ResourceType, Status, Kind, FHIRVersion string
		Implementation                          struct{ URL string }
		Rest                                    []struct {
			Security map[string]any
			Resource []struct {
				Type                            string
				SearchInclude, SearchRevInclude []string
				SearchParam                     []struct{ Name, Type string }
				Operation                       []struct{ Name string }
			}
		}
	}
	r := h.get("metadata").want(200)
	if err := json.Unmarshal(r.body, &c); err != nil {
		t.Fatal(err)
	}
	if c.ResourceType != "CapabilityStatement" || c.FHIRVersion != "4.0.1" || c.Implementation.URL != h.base || c.Rest[0].Security != nil || len(c.Rest[0].Resource) < 140 {
		t.Errorf("%+v", c)
	}
	for _, res := range c.Rest[0].Resource {
		if res.Type != "Patient" {
			continue
		}
		if len(res.SearchParam) < 10 || len(res.Operation) != 1 || !strings.Contains(fmt.Sprint(res.SearchRevInclude), "Observation:subject") || !strings.Contains(fmt.Sprint(res.SearchInclude), "Patient:general-practitioner") {
			t.Errorf("%+v", res)
		}
	}
	h.do("POST", "metadata", "{}").outcome(405, "not-supported")
}
