package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/inbound"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
)

const (
	writer   = "alice:patient/*.cruds"
	fhirBody = "application/fhir+json"
	patching = "application/json-patch+json"
)

// recorder notes what the EHR is asked to change before it is.
type recorder struct {
	upstream.Writer
	mu   sync.Mutex
	seen []string
	fail error // what creating a Provenance ends with
	away error // what creating anything else ends with
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf(format, args...))
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.seen
	r.seen = nil
	return out
}

func (r *recorder) Create(ctx context.Context, typ string, body []byte) (*upstream.Written, error) {
	r.note("POST %s %s", typ, body)
	if typ == "Provenance" && r.fail != nil {
		return nil, r.fail
	}
	if typ != "Provenance" && r.away != nil {
		return nil, r.away
	}
	return r.Writer.Create(ctx, typ, body)
}

func (r *recorder) Update(ctx context.Context, typ, id string, body []byte, ifMatch string) (*upstream.Written, error) {
	r.note("PUT %s/%s %s %s", typ, id, ifMatch, body)
	return r.Writer.Update(ctx, typ, id, body, ifMatch)
}

func (r *recorder) Delete(ctx context.Context, typ, id, ifMatch string) (*upstream.Written, error) {
	r.note("DELETE %s/%s %s", typ, id, ifMatch)
	return r.Writer.Delete(ctx, typ, id, ifMatch)
}

// everyWrite is a policy that allows all that can be allowed.
func everyWrite() map[string][]guard.Interaction {
	out := map[string][]guard.Interaction{}
	for _, typ := range compartment.Types() {
		if _, ok := inbound.Writable(typ); ok {
			out[typ] = []guard.Interaction{guard.Create, guard.Update, guard.Patch, guard.Delete}
		}
	}
	return out
}

func openWriting(t testing.TB, resources ...string) (*house, *recorder) {
	t.Helper()
	rec := &recorder{}
	h := openWith(t, 0, func(o *gateway.Options) {
		rec.Writer = o.Sources[0].Writes
		o.Sources[0].Writes, o.Sources[0].Write = rec, everyWrite()
	}, append(twoRecords(), resources...)...)
	return h, rec
}

// obs is an Observation of alice's with more members.
func obs(more string) string {
	return `{"resourceType":"Observation","status":"final","code":{"text":"weight"},"subject":{"reference":"Patient/alice"}` + more + `}`
}

// hers is an Observation that is there already.
const hers = `{"resourceType":"Observation","id":"hers","meta":{"versionId":"7","security":[{"code":"R"}],"tag":[{"code":"t"}],"source":"urn:s"},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/alice"},"valueQuantity":{"value":1.50}}`

// What alice's app sends to write where it must not. Nothing of it reaches the
// EHR, whatever the status.
func TestWritesThatNeverReachTheEHR(t *testing.T) {
	h, rec := openWriting(t, hers,
		`{"resourceType":"Observation","id":"by-doctor","meta":{"versionId":"1"},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/alice"},"performer":[{"reference":"Practitioner/dr"}]}`,
		`{"resourceType":"RelatedPerson","id":"mum","patient":{"reference":"Patient/alice"}}`,
		`{"resourceType":"RelatedPerson","id":"dad-`+mark+`","patient":{"reference":"Patient/`+bobID+`"}}`)
	bob := `{"reference":"Patient/` + bobID + `"}`
	put := func(body string) string { return strings.Replace(body, `{`, `{"id":"hers",`, 1) }
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		bearer             string
		headers            []string
	}{
		// scopes first (families 3 and 4)
		"no token":                       {"POST", "/Observation", obs(""), 401, "none", nil},
		"a scope to read":                {"POST", "/Observation", obs(""), 403, alice, nil},
		"a scope to update":              {"POST", "/Observation", obs(""), 403, "alice:patient/*.ruds", nil},
		"a scope for another type":       {"POST", "/Observation", obs(""), 403, "alice:patient/Condition.cruds", nil},
		"update with a scope to create":  {"PUT", "/Observation/hers", put(obs("")), 403, "alice:patient/*.crds", []string{"If-Match", `W/"7"`}},
		"patch with a scope to create":   {"PATCH", "/Observation/hers", `[{"op":"remove","path":"/status"}]`, 403, "alice:patient/*.crds", []string{"If-Match", `W/"7"`}},
		"delete with a scope to update":  {"DELETE", "/Observation/hers", "", 403, "alice:patient/*.crus", []string{"If-Match", `W/"7"`}},
		"update without a scope to read": {"PUT", "/Observation/hers", put(obs("")), 403, "alice:patient/*.cuds", []string{"If-Match", `W/"7"`}},
		"conditional patch, no scope":    {"PATCH", "/Observation?status=final", `[{"op":"remove","path":"/status"}]`, 403, alice, nil},
		"no JSON at all, no scope":       {"PUT", "/Observation/hers", `nonsense`, 403, alice, []string{"If-Match", `W/"7"`}},
		// conditional (family 15)
		"conditional update":            {"PUT", "/Observation?identifier=" + secret, obs(""), 405, "", nil},
		"conditional patch":             {"PATCH", "/Observation?identifier=" + secret, `[]`, 405, "", nil},
		"conditional delete":            {"DELETE", "/Observation?identifier=" + secret, "", 405, "", nil},
		"delete of a whole type":        {"DELETE", "/Observation", "", 405, "", nil},
		"If-None-Exist by another":      {"POST", "/Observation", obs(""), 403, "", []string{"If-None-Exist", "subject=Patient/" + bobID}},
		"If-None-Exist by a chain":      {"POST", "/Observation", obs(""), 400, "", []string{"If-None-Exist", "subject.name=" + secret}},
		"If-None-Exist of nothing":      {"POST", "/Observation", obs(""), 400, "", []string{"If-None-Exist", "_count=1"}},
		"If-None-Exist with an include": {"POST", "/Observation", obs(""), 400, "", []string{"If-None-Exist", "status=final&_include=Observation:subject"}},
		"If-None-Exist, several":        {"POST", "/Observation", obs(""), 412, "", []string{"If-None-Exist", "status=final"}},
		"If-None-Exist, no scope":       {"POST", "/Observation", obs(""), 403, "alice:patient/*.crud", []string{"If-None-Exist", "status=final"}},
		// system level, odd paths, other formats
		"system level":               {"PUT", "/", obs(""), 405, "", nil},
		"a type that is none":        {"POST", "/observation", obs(""), 404, "", nil},
		"an encoded way up":          {"PUT", "/Observation/..%2fPatient%2f" + bobID, obs(""), 404, "", []string{"If-Match", `W/"1"`}},
		"a version":                  {"PUT", "/Observation/hers/_history/7", put(obs("")), 405, "", []string{"If-Match", `W/"7"`}},
		"a parameter":                {"POST", "/Observation?_method=PUT", obs(""), 400, "", nil},
		"XML":                        {"POST", "/Observation", "<Observation/>", 415, "", []string{"Content-Type", "application/fhir+xml"}},
		"a FHIRPath patch":           {"PATCH", "/Observation/hers", `{"resourceType":"Parameters"}`, 415, "", []string{"Content-Type", fhirBody, "If-Match", `W/"7"`}},
		"a form":                     {"POST", "/Observation", "identifier=x", 415, "", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"UTF-16":                     {"POST", "/Observation", obs(""), 415, "", []string{"Content-Type", fhirBody + "; charset=utf-16"}},
		"an override":                {"POST", "/Observation", obs(""), 400, "", []string{"X-HTTP-Method-Override", "PUT"}},
		"a Provenance of the app's":  {"POST", "/Observation", obs(""), 400, "", []string{"X-Provenance", "{}"}},
		"too large":                  {"POST", "/Observation", obs(`,"note":[{"text":"` + strings.Repeat("x", 2<<20) + `"}]`), 413, "", nil},
		"nothing":                    {"POST", "/Observation", "", 400, "", nil},
		"a name twice":               {"POST", "/Observation", obs(`,"status":"final"`), 400, "", nil},
		"bad UTF-8":                  {"POST", "/Observation", obs(",\"x\":\"\xff\""), 400, "", nil},
		"another type in the body":   {"POST", "/Observation", strings.Replace(obs(""), "Observation", "Condition", 1), 400, "", nil},
		"update with another id":     {"PUT", "/Observation/hers", strings.Replace(put(obs("")), "hers", "other", 1), 400, "", []string{"If-Match", `W/"7"`}},
		"update without an id":       {"PUT", "/Observation/hers", obs(""), 400, "", []string{"If-Match", `W/"7"`}},
		"update without If-Match":    {"PUT", "/Observation/hers", put(obs("")), 400, "", nil},
		"If-Match of anything":       {"PUT", "/Observation/hers", put(obs("")), 400, "", []string{"If-Match", "*"}},
		"two in If-Match":            {"PUT", "/Observation/hers", put(obs("")), 400, "", []string{"If-Match", `W/"7", W/"8"`}},
		"an old version":             {"PUT", "/Observation/hers", put(obs("")), 412, "", []string{"If-Match", `W/"6"`}},
		"delete an old version":      {"DELETE", "/Observation/hers", "", 412, "", []string{"If-Match", `W/"6"`}},
		"a version that is no ETag":  {"DELETE", "/Observation/hers", "", 400, "", []string{"If-Match", `7`}},
		"update as create":           {"PUT", "/Observation/new", strings.Replace(obs(""), `{`, `{"id":"new",`, 1), 404, "", []string{"If-Match", `W/"1"`}},
		"types that are never taken": {"POST", "/Patient", `{"resourceType":"Patient"}`, 405, "", nil},
		// another's record (families 28 and 29)
		"another's, update":             {"PUT", "/Observation/observation-" + bobID, put(obs("")), 404, "", []string{"If-Match", `W/"1"`}},
		"another's, patch":              {"PATCH", "/Observation/observation-" + bobID, `[{"op":"replace","path":"/subject","value":{"reference":"Patient/alice"}}]`, 404, "", []string{"If-Match", `W/"1"`}},
		"another's, delete":             {"DELETE", "/Observation/observation-" + bobID, "", 404, "", []string{"If-Match", `W/"1"`}},
		"a group visit":                 {"DELETE", "/Appointment/group-visit", "", 422, "", []string{"If-Match", `W/"1"`}},
		"written by a doctor":           {"DELETE", "/Observation/by-doctor", "", 422, "", []string{"If-Match", `W/"1"`}},
		"for another":                   {"POST", "/Observation", strings.Replace(obs(""), "alice", bobID, 1), 422, "", nil},
		"moved to another":              {"PUT", "/Observation/hers", put(strings.Replace(obs(""), "alice", bobID, 1)), 422, "", []string{"If-Match", `W/"7"`}},
		"patched to another":            {"PATCH", "/Observation/hers", `[{"op":"replace","path":"/subject/reference","value":"Patient/` + bobID + `"}]`, 422, "", []string{"If-Match", `W/"7"`}},
		"patched to nobody":             {"PATCH", "/Observation/hers", `[{"op":"remove","path":"/subject"}]`, 422, "", []string{"If-Match", `W/"7"`}},
		"patched to another id":         {"PATCH", "/Observation/hers", `[{"op":"replace","path":"/id","value":"x"}]`, 400, "", []string{"If-Match", `W/"7"`}},
		"patched to another type":       {"PATCH", "/Observation/hers", `[{"op":"replace","path":"/resourceType","value":"Condition"}]`, 400, "", []string{"If-Match", `W/"7"`}},
		"patched to a text":             {"PATCH", "/Observation/hers", `[{"op":"add","path":"","value":"x"}]`, 400, "", []string{"If-Match", `W/"7"`}},
		"a patch with a failing test":   {"PATCH", "/Observation/hers", `[{"op":"test","path":"/status","value":"amended"}]`, 422, "", []string{"If-Match", `W/"7"`}},
		"a patch with a duplicate key":  {"PATCH", "/Observation/hers", `[{"op":"remove","op":"add","path":"/status"}]`, 400, "", []string{"If-Match", `W/"7"`}},
		"two patients":                  {"POST", "/AllergyIntolerance", `{"resourceType":"AllergyIntolerance","patient":[{"reference":"Patient/alice"},` + bob + `]}`, 422, "", nil},
		"two patients, shared":          {"POST", "/Appointment", `{"resourceType":"Appointment","status":"booked","participant":[{"actor":{"reference":"Patient/alice"},"status":"accepted"},{"actor":` + bob + `,"status":"needs-action"}]}`, 422, "", nil},
		"no owner":                      {"POST", "/Observation", `{"resourceType":"Observation","status":"final"}`, 422, "", nil},
		"owner by identifier":           {"POST", "/Observation", `{"resourceType":"Observation","subject":{"type":"Patient","identifier":{"value":"alice"}}}`, 422, "", nil},
		"owner elsewhere":               {"POST", "/Observation", `{"resourceType":"Observation","subject":{"reference":"https://elsewhere.example/fhir/Patient/alice"}}`, 422, "", nil},
		"owner by the EHR's address":    {"POST", "/Observation", `{"resourceType":"Observation","subject":{"reference":"ORIGIN/fhir/Patient/alice"}}`, 422, "", nil},
		"owner contained":               {"POST", "/Observation", `{"resourceType":"Observation","contained":[{"resourceType":"Patient","id":"alice"}],"subject":{"reference":"#alice"}}`, 422, "", nil},
		"owner of another type":         {"POST", "/Observation", obs(`,"focus":[{"reference":"Patient/alice","type":"Group"}]`), 422, "", nil},
		"owner spelled twice":           {"POST", "/Observation", obs(`,"Subject":` + bob), 422, "", nil},
		"owner spelled otherwise":       {"POST", "/Observation", obs(`,"sUbject":` + bob), 422, "", nil},
		"a reference spelled otherwise": {"POST", "/Observation", obs(`,"focus":[{"referencE":"Patient/` + bobID + `"}]`), 422, "", nil},
		"an escaped reference":          {"POST", "/Observation", obs(`,"focus":[{"\u0072eference":"Patient\/` + bobID + `"}]`), 422, "", nil},
		"an identifier beside me":       {"POST", "/Observation", obs(`,"focus":[{"reference":"Patient/alice","identifier":{"value":"` + secret + `"}}]`), 422, "", nil},
		"another in an extension":       {"POST", "/Observation", obs(`,"extension":[{"url":"http://x.example/e","valueReference":` + bob + `}]`), 422, "", nil},
		"another as a URI":              {"POST", "/Observation", obs(`,"extension":[{"url":"http://x.example/e","valueUri":"https://other.example/fhir/Patient/` + bobID + `"}]`), 422, "", nil},
		"another as a relative URI":     {"POST", "/Observation", obs(`,"extension":[{"url":"http://x.example/e","valueUri":"Patient/` + bobID + `"}]`), 422, "", nil},
		"another in a contained one":    {"POST", "/Observation", obs(`,"contained":[{"resourceType":"Observation","id":"c","subject":` + bob + `}],"hasMember":[{"reference":"#c"}]`), 422, "", nil},
		"a person contained":            {"POST", "/Observation", obs(`,"contained":[{"resourceType":"Patient","id":"p","name":[{"family":"` + secret + `"}]}],"focus":[{"reference":"#p"}]`), 422, "", nil},
		"nobody's contained":            {"POST", "/Observation", obs(`,"contained":[{"resourceType":"Observation","id":"o"}],"hasMember":[{"reference":"#o"}]`), 422, "", nil},
		"another's resource":            {"POST", "/Observation", obs(`,"hasMember":[{"reference":"Observation/observation-` + bobID + `"}]`), 422, "", nil},
		"a resource that is missing":    {"POST", "/Observation", obs(`,"hasMember":[{"reference":"Observation/no-such-thing"}]`), 422, "", nil},
		"another's relative":            {"POST", "/Observation", obs(`,"focus":[{"reference":"RelatedPerson/dad-` + mark + `"}]`), 422, "", nil},
		"a group":                       {"POST", "/Observation", obs(`,"focus":[{"reference":"Group/` + mark + `-group"}]`), 422, "", nil},
		"another entry of a batch":      {"POST", "/Observation", obs(`,"hasMember":[{"reference":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}]`), 422, "", nil},
		"a way to another's file":       {"POST", "/DocumentReference", `{"resourceType":"DocumentReference","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"Binary/bin-` + mark + `"}}]}`, 422, "", nil},
		"a way by an extension's url":   {"POST", "/DocumentReference", `{"resourceType":"DocumentReference","subject":{"reference":"Patient/alice"},"extension":[{"url":"Binary/bin-` + mark + `","valueBoolean":true}],"content":[]}`, 422, "", nil},
		"a way by the EHR's address":    {"POST", "/DocumentReference", `{"resourceType":"DocumentReference","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"ORIGIN/fhir/Binary/bin-alice"}}]}`, 422, "", nil},
		"a file elsewhere":              {"POST", "/DocumentReference", `{"resourceType":"DocumentReference","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"https://files.example/bob.pdf"}}]}`, 422, "", nil},
		"a device of another's":         {"POST", "/Observation", obs(`,"device":{"reference":"Device/device-` + bobID + `"}`), 422, "", nil},
		"a resource somewhere inside":   {"POST", "/Observation", obs(`,"component":[{"resourceType":"Patient","id":"x"}]`), 422, "", nil},
		// authors
		"written by a doctor, it says": {"POST", "/Observation", obs(`,"performer":[{"reference":"Practitioner/dr"}]`), 422, "", nil},
		"by a doctor by name":          {"POST", "/Observation", obs(`,"performer":[{"display":"Dr House"}]`), 422, "", nil},
		"by a doctor contained":        {"POST", "/Observation", obs(`,"contained":[{"resourceType":"Practitioner","id":"d"}],"performer":[{"reference":"#d"}]`), 422, "", nil},
		"sent by a doctor":             {"POST", "/Communication", `{"resourceType":"Communication","status":"completed","subject":{"reference":"Patient/alice"},"sender":{"reference":"Practitioner/dr"}}`, 422, "", nil},
		"prescribed by a doctor":       {"POST", "/MedicationRequest", `{"resourceType":"MedicationRequest","subject":{"reference":"Patient/alice"},"requester":{"reference":"Practitioner/dr"}}`, 422, "", nil},
		"signed by a doctor":           {"POST", "/DocumentReference", `{"resourceType":"DocumentReference","subject":{"reference":"Patient/alice"},"authenticator":{"reference":"Practitioner/dr"}}`, 422, "", nil},
		"accepted by a doctor":         {"POST", "/Appointment", `{"resourceType":"Appointment","status":"booked","participant":[{"actor":{"reference":"Patient/alice"},"status":"accepted"},{"actor":{"reference":"Practitioner/dr"},"status":"accepted"}]}`, 422, "", nil},
		"by a relative who is not me":  {"POST", "/Observation", obs(`,"performer":[{"reference":"RelatedPerson/mum"}]`), 422, "", nil},
		// what is shown to staff
		"a script":      {"POST", "/Observation", obs(`,"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div>"}`), 422, "", nil},
		"implicitRules": {"POST", "/Observation", obs(`,"implicitRules":"http://x.example/r"`), 422, "", nil},
		"meta a list":   {"POST", "/Observation", obs(`,"meta":[]`), 422, "", nil},
		// granular scopes
		"outside a granular scope":         {"POST", "/Observation", obs(""), 403, "alice:patient/Observation.c?category=vital-signs", nil},
		"out of a granular scope":          {"PUT", "/Observation/hers", put(obs("")), 403, "alice:patient/Observation.rs patient/Observation.u?status=amended", []string{"If-Match", `W/"7"`}},
		"outside the scope to read":        {"PUT", "/Observation/hers", put(obs("")), 404, "alice:patient/Observation.u patient/Observation.r?status=amended", []string{"If-Match", `W/"7"`}},
		"delete outside a granular scope":  {"DELETE", "/Observation/hers", "", 403, "alice:patient/Observation.rs patient/Observation.d?status=amended", []string{"If-Match", `W/"7"`}},
		"a token for another source":       {"POST", "/Observation", obs(""), 401, "elsewhere/alice:patient/*.cruds", nil},
		"a patient whom the token has not": {"POST", "/Observation", obs(""), 403, ":patient/*.cruds", nil},
	} {
		t.Run(name, func(t *testing.T) {
			bearer := tt.bearer
			if bearer == "" {
				bearer = writer
			}
			headers := tt.headers
			if !strings.Contains(fmt.Sprint(headers), "Content-Type") {
				media := fhirBody
				if tt.method == "PATCH" {
					media = patching
				}
				headers = append([]string{"Content-Type", media}, headers...)
			}
			rec.take()
			h.sink.take()
			body := strings.ReplaceAll(tt.body, "ORIGIN", h.origin)
			r := h.send(tt.method, tt.path, strings.ReplaceAll(bearer, " ", "+"), body, headers...)
			if r.status != tt.status || tt.status != 401 && !strings.Contains(r.body, `"OperationOutcome"`) {
				t.Errorf("%d %s", r.status, r.body)
			}
			if sent := rec.take(); len(sent) > 0 {
				t.Errorf("the EHR was asked: %s", sent)
			}
			if what := betrays(h, 0, r); what != "" {
				t.Errorf("gives away %s: %s", what, r.body)
			}
			if tt.status != 401 {
				events := h.sink.take()
				if len(events) != 1 || events[0].Outcome != "refused" && events[0].Outcome != "absent" || events[0].Status != tt.status {
					t.Errorf("recorded %+v", events)
				}
			}
		})
	}
}

// What is another's and what is not there cannot be told apart by trying to
// change it.
func TestChangingForeignAndMissingLooksTheSame(t *testing.T) {
	h, _ := openWriting(t)
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		body := map[string]string{http.MethodPut: obs(""), http.MethodPatch: `[{"op":"remove","path":"/x"}]`}[method]
		media := map[string]string{http.MethodPatch: patching}[method]
		if media == "" {
			media = fhirBody
		}
		foreign := h.send(method, "/Observation/observation-"+bobID, writer, body, "Content-Type", media, "If-Match", `W/"1"`)
		missing := h.send(method, "/Observation/no-such-thing", writer, body, "Content-Type", media, "If-Match", `W/"1"`)
		if foreign.status != 404 || foreign.status != missing.status || foreign.body != missing.body {
			t.Errorf("%s: %d %s against %d %s", method, foreign.status, foreign.body, missing.status, missing.body)
		}
	}
}

func TestNothingMayBeWrittenUnlessThePolicySaysSo(t *testing.T) {
	h := openWith(t, 0, func(o *gateway.Options) {
		o.Sources[0].Write = map[string][]guard.Interaction{"Condition": {guard.Create}}
	}, twoRecords()...)
	for _, tt := range [][]string{{"POST", "/Observation"}, {"PUT", "/Condition/condition-alice"}, {"PATCH", "/Condition/condition-alice"}, {"DELETE", "/Condition/condition-alice"}, {"POST", "/Provenance"}, {"POST", "/Binary"}, {"POST", "/Consent"}, {"POST", "/RelatedPerson"}, {"PUT", "/Patient/alice"}} {
		r := h.send(tt[0], tt[1], writer, obs(""), "Content-Type", fhirBody, "If-Match", `W/"1"`)
		if r.status != http.StatusMethodNotAllowed || !strings.Contains(r.body, "does not let apps") {
			t.Errorf("%v: %d %s", tt, r.status, r.body)
		}
	}
	if r := h.send("POST", "/Observation", alice, obs(""), "Content-Type", fhirBody); r.status != http.StatusForbidden {
		t.Errorf("the scope was not looked at first: %d", r.status)
	}
	// AuditEvent is closed, whatever the scopes.
	if r := h.send("POST", "/AuditEvent", writer, `{"resourceType":"AuditEvent"}`, "Content-Type", fhirBody); r.status != http.StatusForbidden {
		t.Errorf("AuditEvent: %d", r.status)
	}
}

// Allow tells what there is (RFC 9110 §15.5.6), by the path's form and the
// policy alone: of what is there it says what it says of what is not.
func TestARefusedMethodIsToldWhatThereIs(t *testing.T) {
	h := openWith(t, 0, func(o *gateway.Options) {
		o.Sources[0].Write = map[string][]guard.Interaction{"Observation": {guard.Create, guard.Update}}
	}, twoRecords()...)
	for _, tt := range [][3]string{
		{"DELETE", "/Observation/observation-" + bobID, "GET, HEAD, PUT"},
		{"DELETE", "/Observation/no-such-thing", "GET, HEAD, PUT"},
		{"DELETE", "/Observation?code=x", "GET, HEAD, POST"},
		{"PUT", "/Condition/condition-alice", "GET, HEAD"},
		{"POST", "/Condition", "GET, HEAD"},
		{"GET", "/Binary", ""},
		{"GET", "/", "POST"},
		{"GET", "/$graphql", ""},
		{"GET", "/Patient/alice/_search", "POST"},
		{"PUT", "/Patient/alice/$everything", "GET, HEAD, POST"},
		{"PUT", "/Observation/observation-alice/_history/1", "GET, HEAD"},
		{"POST", "/metadata", "GET, HEAD"},
	} {
		r := h.send(tt[0], tt[1], writer, obs(""), "Content-Type", fhirBody, "If-Match", `W/"1"`)
		if got := r.header.Get("Allow"); r.status != http.StatusMethodNotAllowed || got != tt[2] {
			t.Errorf("%s %s: %d, Allow %q, want %q", tt[0], tt[1], r.status, got, tt[2])
		}
	}
}

func TestEachTypeIsWritableOrHasAReason(t *testing.T) {
	writable := 0
	for _, typ := range compartment.Types() {
		reason, ok := inbound.Writable(typ)
		class := compartment.Of(typ).Class
		switch {
		case ok && class != compartment.Own && class != compartment.Shared:
			t.Errorf("%s is writable but of class %d", typ, class)
		case !ok && reason == "":
			t.Errorf("%s: no reason", typ)
		case ok:
			writable++
		}
	}
	for _, typ := range []string{"Patient", "Practitioner", "Provenance", "Binary", "AuditEvent", "Consent", "RelatedPerson", "Person", "Group", "CareTeam", "Coverage", "Encounter", "Claim"} {
		if _, ok := inbound.Writable(typ); ok {
			t.Errorf("%s is writable", typ)
		}
	}
	if writable < 20 {
		t.Errorf("only %d types", writable)
	}
	for _, write := range []map[string][]guard.Interaction{{"Patient": {guard.Update}}, {"Observation": {guard.Read}}, {"Nonsense": nil}} {
		_, err := gateway.New(gateway.Options{PublicURL: "http://x", Sources: []gateway.Source{{ID: "ehr", Base: somewhere(t), Upstream: &scripted{}, Write: write}},
			Tokens: bearers{}, Audit: &sink{}, Pages: noPages{}, SMART: func(string) http.Handler { return nil }})
		if err == nil {
			t.Errorf("%v: accepted", write)
		}
	}
}

type noPages struct{}

func (noPages) SealText([]byte, string) string          { return "" }
func (noPages) OpenText(string, string) ([]byte, error) { return nil, nil }
