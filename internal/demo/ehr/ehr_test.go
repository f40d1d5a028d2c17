package ehr_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/demo/ehr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a small hospital: amy and ben are patients, dr a doctor. The odd
// spacing, the decimals and the escapes are there to be kept.
var world = []string{
	`{"resourceType":"Patient","id":"amy","identifier":[{"system":"urn:mrn","value":"A-1"}],"name":[{"family":"Ash","given":["Amy"]}],"gender":"female","birthDate":"1980-02-03","_birthDate":{"extension":[{"url":"http://example.org/t","valueString":"10:00"}]}}`,
	`{ "resourceType" : "Patient", "id" : "ben", "identifier":[{"system":"urn:mrn","value":"B-2"}],  "name":[{"family":"Birch","given":["Ben"]}],"gender":"male","birthDate":"1990" }`,
	`{"resourceType":"Patient","id":"cat","meta":{"versionId":"7","lastUpdated":"2026-01-02T03:04:05Z"},"name":[{"family":"cedar"}]}`,
	`{"resourceType":"Practitioner","id":"dr","identifier":[{"system":"urn:npi","value":"99"}],"name":[{"family":"Dow"}]}`,
	`{"resourceType":"Organization","id":"clinic","name":"The Clinic"}`,
	`{"resourceType":"PractitionerRole","id":"role","practitioner":{"reference":"Practitioner/dr"},"organization":{"reference":"Organization/clinic"}}`,
	`{"resourceType":"Encounter","id":"e1","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/amy"},"participant":[{"individual":{"reference":"Practitioner/dr"}}],"period":{"start":"2025-01-01T10:00:00Z","end":"2025-01-01T11:00:00Z"}}`,
	`{"resourceType":"Observation","id":"a1","meta":{"lastUpdated":"2025-03-01T00:00:00Z","versionId":"4","tag":[{"code":"t"}]},"status":"final","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a1</div>"},"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"2345-7"}]},"subject":{"reference":"Patient/amy"},"encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2025-03-01","performer":[{"reference":"Practitioner/dr"}],"valueQuantity":{"value":5.00,"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"},"note":[{"text":"\u0041 \/ n"}]}`,
	`{"resourceType":"Observation","id":"a2","status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/amy"},"effectiveDateTime":"2024-06","valueQuantity":{"value":72}}`,
	`{"resourceType":"Observation","id":"a3","status":"preliminary","code":{"coding":[{"system":"http://loinc.org","code":"2345-7"}]},"subject":{"reference":"Patient/amy"},"effectivePeriod":{"start":"2023-01-01","end":"2023-02-01"}}`,
	`{"resourceType":"Observation","id":"b1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2345-7"}]},"subject":{"reference":"Patient/ben"},"effectiveDateTime":"2025-04-01"}`,
	`{"resourceType":"Observation","id":"nobody","status":"final","code":{"text":"dangling"},"subject":{"reference":"Patient/gone"},"effectiveDateTime":"not a date"}`,
	`{"resourceType":"Appointment","id":"group","status":"booked","participant":[{"actor":{"reference":"Patient/amy"},"status":"accepted"},{"actor":{"reference":"Patient/ben"},"status":"accepted"}],"start":"2026-12-01T09:00:00Z"}`,
	`{"resourceType":"DocumentReference","id":"doc","status":"current","subject":{"reference":"Patient/amy"},"content":[{"attachment":{"contentType":"application/pdf","url":"Binary/pdf"}}]}`,
	`{"resourceType":"Binary","id":"pdf","contentType":"application/pdf","data":"JVBERi0x"}`,
	`{"resourceType":"Provenance","id":"prov-a1","target":[{"reference":"Observation/a1"}],"recorded":"2025-03-01T00:00:00Z","agent":[{"who":{"reference":"Practitioner/dr"}}]}`,
	`{"resourceType":"Condition","id":"ca","subject":{"reference":"Patient/amy"},"code":{"text":"x"}}`,
	`{"resourceType":"Condition","id":"cb","subject":{"reference":"Patient/ben"},"code":{"text":"y"}}`,
}

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

// hospital is a server with a clientele.
type hospital struct {
	t      testing.TB
	server *ehr.Server
	base   string
	client *http.Client
}

func open(t *testing.T, o ehr.Options) *hospital {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	server := ehr.New(o)
	for _, raw := range world {
		if err := server.Load([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	return serve(t, server)
}

func serve(t *testing.T, server *ehr.Server) *hospital {
	t.Helper()
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	client := listening.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(client.CloseIdleConnections)
	return &hospital{t, server, listening.URL + "/fhir", client}
}

// reply is an answer with its whole body.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// do sends a request. headers are "Name: value".
func (h *hospital) do(method, path, body string, headers ...string) reply {
	h.t.Helper()
	r, err := h.try(method, path, body, headers...)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (h *hospital) try(method, path, body string, headers ...string) (reply, error) {
	h.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = h.base + "/" + path
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/fhir+json")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	res, err := h.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return reply{h.t, res.StatusCode, res.Header, got}, err
}

func (h *hospital) get(path string, headers ...string) reply {
	h.t.Helper()
	return h.do(http.MethodGet, path, "", headers...)
}

// want checks the status.
func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// outcome checks that the answer is an OperationOutcome with this code.
func (r reply) outcome(status int, code string) {
	r.t.Helper()
	r.want(status)
	var o struct {
		ResourceType string
		Issue        []struct{ Severity, Code, Diagnostics string }
	}
	if err := json.Unmarshal(r.body, &o); err != nil || o.ResourceType != "OperationOutcome" || len(o.Issue) != 1 || o.Issue[0].Code != code {
		r.t.Errorf("want an OperationOutcome with code %s, got %s", code, r.body)
	}
	if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, "application/fhir+json") {
		r.t.Errorf("Content-Type %q", got)
	}
}

type bundle struct {
	ResourceType, Type string
	Total              *int
	Link               []struct{ Relation, URL string }
	Entry              []struct {
		FullURL  string
		Resource json.RawMessage
		Search   struct{ Mode string }
		Request  struct{ Method, URL string }
		Response struct {
			Status, Location, Etag, LastModified string
			Outcome                              json.RawMessage
		}
	}
}

func (r reply) bundle() bundle {
	r.t.Helper()
	r.want(http.StatusOK)
	var b bundle
	if err := json.Unmarshal(r.body, &b); err != nil || b.ResourceType != "Bundle" {
		r.t.Fatalf("want a Bundle: %v: %s", err, r.body)
	}
	return b
}

// rows gives "Type/id" of the entries with one search.mode, in order.
func (b bundle) rows(mode string) []string {
	out := []string{}
	for _, e := range b.Entry {
		if e.Search.Mode == mode {
			out = append(out, nameOf(e.Resource))
		}
	}
	return out
}

func (b bundle) link(relation string) string {
	for _, l := range b.Link {
		if l.Relation == relation {
			return l.URL
		}
	}
	return ""
}

func nameOf(raw []byte) string {
	var r struct{ ResourceType, ID string }
	if json.Unmarshal(raw, &r) != nil {
		return "?"
	}
	return r.ResourceType + "/" + r.ID
}

// known gives what was loaded under "Type/id".
func known(t testing.TB, name string) string {
	t.Helper()
	i := slices.IndexFunc(world, func(raw string) bool { return nameOf([]byte(raw)) == name })
	if i < 0 {
		t.Fatalf("%s is not in the world", name)
	}
	return world[i]
}
