package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

type batchReply struct {
	ResourceType, Type string
	Entry              []struct {
		Resource json.RawMessage
		Response struct {
			Status, Etag, LastModified string
			Outcome                    json.RawMessage
		}
	}
}

func (h *house) batch(t *testing.T, bearer, body string) (reply, batchReply) {
	t.Helper()
	r := h.send("POST", "/", bearer, body, "Content-Type", "application/fhir+json")
	var b batchReply
	if r.status == 200 {
		if err := json.Unmarshal([]byte(r.body), &b); err != nil {
			t.Fatalf("%v: %s", err, r.body)
		}
	}
	return r, b
}

func batchOf(entries ...string) string {
	return `{"resourceType":"Bundle","type":"batch","entry":[` + strings.Join(entries, ",") + `]}`
}

func getEntry(url string) string {
	return fmt.Sprintf(`{"request":{"method":"GET","url":%q}}`, url)
}

func TestEachEntryOfABatchGoesThePathOfItsOwn(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct{ name, entry, want string }{
		{"another patient", getEntry("Patient/" + bobID), "404 Not Found"},
		{"another's resource", getEntry("Observation/observation-" + bobID), "404 Not Found"},
		{"another patient in a search", getEntry("Observation?patient=" + bobID), "403 Forbidden"},
		{"a way up", getEntry("../Patient/" + bobID), "404 Not Found"},
		{"a way up, encoded", getEntry("%2e%2e/Patient/" + bobID), "404 Not Found"},
		{"another host", getEntry("https://ehr.example.org/fhir/Patient/alice"), "400 Bad Request"},
		{"another host without scheme", getEntry("//ehr.example.org/Patient/alice"), "400 Bad Request"},
		{"rooted", getEntry("/Patient/alice"), "400 Bad Request"},
		{"another source", getEntry(strings.Replace(h.base, "/fhir/ehr", "/fhir/other", 1) + "/Patient/alice"), "400 Bad Request"},
		{"a batch in the batch", `{"resource":{"resourceType":"Bundle","type":"batch"},"request":{"method":"POST","url":""}}`, "405 Method Not Allowed"},
		{"a write", `{"resource":{"resourceType":"Observation"},"request":{"method":"PUT","url":"Observation/x"}}`, "403 Forbidden"},
		{"no method", `{"request":{"url":"Patient/alice"}}`, "405 Method Not Allowed"},
		{"a GET with a body", `{"resource":{"resourceType":"Patient"},"request":{"method":"GET","url":"Patient/alice"}}`, "400 Bad Request"},
		{"nothing", `{}`, "405 Method Not Allowed"},
		{"a closed type", getEntry("ValueSet"), "403 Forbidden"},
		{"the own Patient", getEntry("Patient/alice"), "200 OK"},
		{"the own Patient on our base", getEntry(h.base + "/Patient/alice"), "200 OK"},
		{"a search", getEntry("Observation?_count=1"), "200 OK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.sink.take()
			r, b := h.batch(t, alice, batchOf(getEntry("Patient/alice"), tt.entry))
			if len(b.Entry) != 2 || b.Entry[0].Response.Status != "200 OK" || b.Entry[1].Response.Status != tt.want {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if what := betrays(h, 0, r); what != "" {
				t.Errorf("gives away %s: %s", what, r.body)
			}
			wrong := !strings.HasPrefix(tt.want, "200")
			if (len(b.Entry[1].Response.Outcome) > 0) != wrong || (len(b.Entry[1].Resource) > 0) == wrong {
				t.Errorf("%s", r.body)
			}
			if events := h.sink.take(); len(events) < 1 || events[0].Outcome != "released" {
				t.Errorf("audit: %+v", events)
			}
		})
	}
}

func TestABatchThatCannotBeMeantIsRefusedWhole(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	many := make([]string, 51)
	for i := range many {
		many[i] = getEntry("Patient/alice")
	}
	for name, tt := range map[string]struct {
		bearer, body string
		want         int
	}{
		"no token":          {"", batchOf(getEntry("Patient/alice")), 401},
		"transaction":       {alice, strings.Replace(batchOf(getEntry("Patient/alice")), "batch", "transaction", 1), 400},
		"another resource":  {alice, `{"resourceType":"Patient","id":"x"}`, 400},
		"not JSON":          {alice, `{`, 400},
		"a member twice":    {alice, `{"resourceType":"Bundle","type":"batch","type":"batch","entry":[{}]}`, 400},
		"no entries":        {alice, batchOf(), 400},
		"too many entries":  {alice, batchOf(many...), 400},
		"too large":         {alice, batchOf(getEntry(strings.Repeat("x", 1<<20))), 413},
		"an unknown bearer": {"nonsense", batchOf(getEntry("Patient/alice")), 401},
	} {
		if r, _ := h.batch(t, tt.bearer, tt.body); r.status != tt.want || !strings.Contains(r.body, "OperationOutcome") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if r := h.send("POST", "/", alice, batchOf(getEntry("Patient/alice"))); r.status != 415 {
		t.Errorf("a form: %d", r.status)
	}
}

func TestABatchWhoseAnswersAreTooLargeSaysWhichOne(t *testing.T) {
	big := strings.Repeat("x", 900_000)
	var records []string
	for i := range 20 {
		records = append(records, fmt.Sprintf(`{"resourceType":"Observation","id":"o-%d","subject":{"reference":"Patient/alice"},"note":[{"text":"%s"}]}`, i, big))
	}
	h := open(t, 0, append(records, `{"resourceType":"Patient","id":"alice"}`)...)
	_, b := h.batch(t, alice, batchOf(getEntry("Observation"), getEntry("Patient/alice"), getEntry("Observation/o-1")))
	if len(b.Entry) != 3 || b.Entry[0].Response.Status != "413 Request Entity Too Large" || b.Entry[1].Response.Status != "200 OK" || b.Entry[2].Response.Status != "200 OK" {
		t.Errorf("%+v", b.Entry)
	}
}

func TestCompartmentSearchIsASearchInsideTheOwnRecord(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	own := h.get("/Patient/alice/Observation?_count=5", alice)
	plain := h.get("/Observation?_count=5", alice)
	if own.status != 200 || own.body != plain.body {
		t.Errorf("%d %s", own.status, own.body)
	}
	if r := h.send("POST", "/Patient/alice/Observation/_search", alice, "_count=5"); r.body != plain.body {
		t.Errorf("by POST: %d %s", r.status, r.body)
	}
	for _, path := range []string{"/Patient/" + bobID + "/Observation", "/Patient/nobody/Observation", "/Patient/alice/Observation/observation-alice"} {
		if r := h.get(path, alice); r.status != 404 || betrays(h, 0, r) != "" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := h.get("/Patient/alice/Condition", "alice:patient/Observation.rs"); r.status != 403 {
		t.Errorf("a type without scope: %d", r.status)
	}
}
