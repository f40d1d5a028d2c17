package ehr_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestEveryResourceIsReadAsItWasLoaded(t *testing.T) {
	h := open(t, ehr.Options{})
	for _, raw := range world {
		name := nameOf([]byte(raw))
		if got := h.get(name).want(http.StatusOK); string(got.body) != raw {
			t.Errorf("%s:\n got %s\nwant %s", name, got.body, raw)
		}
		typ, id, _ := strings.Cut(name, "/")
		for _, e := range h.get(typ + "?_id=" + id).bundle().Entry {
			if string(e.Resource) != raw {
				t.Errorf("%s in a bundle:\n got %s\nwant %s", name, e.Resource, raw)
			}
		}
	}
}

func TestReadingWhatCannotBeRead(t *testing.T) {
	h := open(t, ehr.Options{Strict: true})
	for name, c := range map[string]struct {
		method, path string
		status       int
		code         string
	}{
		"a missing id":                    {"GET", "Patient/nobody", 404, "not-found"},
		"an id of another type":           {"GET", "Observation/amy", 404, "not-found"},
		"a malformed id":                  {"GET", "Patient/a_b", 404, "not-found"},
		"an encoded slash":                {"GET", "Patient%2Famy", 404, "not-found"},
		"dots in the path":                {"GET", "Patient/%2e%2e", 404, "not-found"},
		"an unknown type":                 {"GET", "Person2/amy", 404, "not-supported"},
		"a type in the wrong case":        {"GET", "patient/amy", 404, "not-supported"},
		"a missing version":               {"GET", "Patient/amy/_history/2", 404, "not-found"},
		"the history of what is missing":  {"GET", "Patient/nobody/_history", 404, "not-found"},
		"the history of a type":           {"GET", "Patient/_history", 404, "not-supported"},
		"system search":                   {"GET", "", 405, "not-supported"},
		"an unknown operation":            {"GET", "Patient/amy/$match", 404, "not-supported"},
		"a patch":                         {"PATCH", "Patient/amy", 405, "not-supported"},
		"a conditional delete":            {"DELETE", "Patient?name=x", 405, "not-supported"},
		"dots above the base":             {"GET", "../elsewhere", 404, "not-supported"},
		"outside the base":                {"GET", strings.TrimSuffix(h.base, "/fhir") + "/fhir2/Patient/amy", 404, "not-found"},
		"a compartment of no patient":     {"GET", "Practitioner/dr/Observation", 404, "not-supported"},
		"a type outside the compartment":  {"GET", "Patient/amy/Organization", 404, "not-supported"},
		"an unknown parameter of a read":  {"GET", "Patient/amy?x=1", 400, "not-supported"},
		"XML by _format":                  {"GET", "Patient/amy?_format=xml", 406, "not-supported"},
		"a query that is no query":        {"GET", "Patient/amy?%zz", 400, "invalid"},
		"everything about nobody":         {"GET", "Patient/nobody/$everything", 404, "not-found"},
		"a summary that is none":          {"GET", "Patient/amy?_summary=count", 400, "value"},
		"everything about a practitioner": {"GET", "Practitioner/dr/$everything", 404, "not-supported"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hospital{t, h.server, h.base, h.client}
			r := h.do(c.method, c.path, "")
			r.outcome(c.status, c.code)
			if c.status == 405 && r.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestAcceptIsHeeded(t *testing.T) {
	h := open(t, ehr.Options{})
	for accept, status := range map[string]int{
		"":                                       200,
		"*/*":                                    200,
		"application/fhir+json":                  200,
		"application/fhir+json; fhirVersion=4.0": 200,
		"application/json;q=0.5, text/html":      200,
		"application/fhir+json; fhirVersion=3.0": 406,
		"application/fhir+xml":                   406,
		"text/html":                              406,
		"application/fhir+json;q=0, text/html":   406,
		"text/html, application/*":               200,
	} {
		if got := h.get("Patient/amy", "Accept: "+accept).status; got != status {
			t.Errorf("Accept %q: %d, want %d", accept, got, status)
		}
	}
	h.get("Patient/amy?_format=application/fhir+json", "Accept: text/html").want(200)
	h.get("Patient/amy?_format=json", "Accept: application/fhir+xml").want(200)
}

func TestConditionalReads(t *testing.T) {
	h := open(t, ehr.Options{})
	r := h.get("Patient/cat").want(200)
	if r.header.Get("ETag") != `W/"7"` || r.header.Get("Last-Modified") != "Fri, 02 Jan 2026 03:04:05 GMT" {
		t.Fatalf("headers %v", r.header)
	}
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"the same version":       {[]string{`If-None-Match: W/"7"`}, 304},
		"a strong tag":           {[]string{`If-None-Match: "7"`}, 304},
		"one of several":         {[]string{`If-None-Match: W/"1", W/"7"`}, 304},
		"another version":        {[]string{`If-None-Match: W/"6"`}, 200},
		"not modified since":     {[]string{"If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT"}, 304},
		"modified since":         {[]string{"If-Modified-Since: Fri, 02 Jan 2026 03:04:04 GMT"}, 200},
		"a tag outweighs a date": {[]string{`If-None-Match: W/"6"`, "If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT"}, 200},
		"a date that is none":    {[]string{"If-Modified-Since: yesterday"}, 200},
	} {
		r := h.get("Patient/cat", c.headers...)
		if r.status != c.status || (c.status == 304) != (len(r.body) == 0) {
			t.Errorf("%s: %d with %d bytes, want %d", name, r.status, len(r.body), c.status)
		}
	}
	h.get("Patient/amy", "If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT").want(200) // no lastUpdated, so nobody knows
}

func TestElementsAndSummaryMarkWhatTheyCut(t *testing.T) {
	h := open(t, ehr.Options{})
	const tag = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"Subsetted"}`
	for path, want := range map[string]string{
		"Patient/amy?_elements=birthDate":   `{"meta":{"tag":[` + tag + `]},"resourceType":"Patient","id":"amy","birthDate":"1980-02-03","_birthDate":{"extension":[{"url":"http://example.org/t","valueString":"10:00"}]}}`,
		"Patient/cat?_elements=gender":      `{"resourceType":"Patient","id":"cat","meta":{"tag":[` + tag + `],"versionId":"7","lastUpdated":"2026-01-02T03:04:05Z"}}`,
		"Observation/a1?_elements=value[x]": `{"resourceType":"Observation","id":"a1","meta":{"lastUpdated":"2025-03-01T00:00:00Z","versionId":"4","tag":[` + tag + `,{"code":"t"}]},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2345-7"}]},"valueQuantity":{"value":5.00,"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}}`,
		"Condition/ca?_summary=data":        `{"meta":{"tag":[` + tag + `]},"resourceType":"Condition","id":"ca","subject":{"reference":"Patient/amy"},"code":{"text":"x"}}`,
		"Condition/ca?_summary=true":        `{"meta":{"tag":[` + tag + `]},"resourceType":"Condition","id":"ca","subject":{"reference":"Patient/amy"},"code":{"text":"x"}}`,
		"Condition/ca?_summary=text":        `{"meta":{"tag":[` + tag + `]},"resourceType":"Condition","id":"ca","subject":{"reference":"Patient/amy"}}`,
		"Condition/ca?_summary=false":       known(t, "Condition/ca"),
	} {
		if got := h.get(path).want(200); string(got.body) != want {
			t.Errorf("%s:\n got %s\nwant %s", path, got.body, want)
		}
	}
	b := h.get("Observation?_id=a1&_elements=code").bundle()
	if got := string(b.Entry[0].Resource); strings.Contains(got, "valueQuantity") || !strings.Contains(got, "SUBSETTED") || !strings.Contains(got, `"code":"2345-7"`) {
		t.Errorf("_elements in a search: %s", got)
	}
}

func TestCredentials(t *testing.T) {
	h := open(t, ehr.Options{Bearer: "s3cret", User: "gw", Password: "pw"})
	for header, status := range map[string]int{
		"X-None: 1":                         401,
		"Authorization: Bearer wrong":       401,
		"Authorization: Bearer ":            401,
		"Authorization: Basic Z3c6d3Jvbmc=": 401,
		"Authorization: Basic !":            401,
		"Authorization: Digest s3cret":      401,
		"Authorization: Bearer s3cret":      200,
		"Authorization: bearer s3cret":      200,
		"Authorization: Basic Z3c6cHc=":     200,
	} {
		r := h.get("Patient/amy", header)
		if r.status != status {
			t.Errorf("%s: %d, want %d", header, r.status, status)
		}
		if status == 401 {
			r.outcome(401, "login")
		}
	}
	h.get("metadata").want(200)
}

func TestHeadSaysWhatGetWouldSay(t *testing.T) {
	h := open(t, ehr.Options{})
	r := h.do(http.MethodHead, "Patient/amy", "").want(200)
	if len(r.body) != 0 || r.header.Get("ETag") != `W/"1"` {
		t.Errorf("%d bytes, %v", len(r.body), r.header)
	}
}
