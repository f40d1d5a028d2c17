package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/fault"
)

const fhirType = "application/fhir+json"

func parameters(of ...string) string {
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(of, ",") + `]}`
}

// dated is a record with results and documents of several times and codes, and
// the same of somebody else.
func dated() []string {
	var out []string
	for owner, text := range map[string]string{"alice": "hers", bobID: secret} {
		p := "h-"
		if owner != "alice" {
			p = mark + "-"
		}
		result := func(id, when, category, codings string) string {
			return fmt.Sprintf(`{"resourceType":"Observation","id":"%s%s","status":"final","category":[{"coding":[{"system":"%s","code":"%s"}]}],"code":{"coding":[%s],"text":"%s"},"subject":{"reference":"Patient/%s"}%s}`,
				p, id, observationCategories, category, codings, text, owner, when)
		}
		document := func(id, status, typ, rest string) string {
			return fmt.Sprintf(`{"resourceType":"DocumentReference","id":"%s%s","status":"%s","type":{"coding":[{"system":"http://loinc.org","code":"%s"}]},"subject":{"reference":"Patient/%s"},"description":"%s"%s}`,
				p, id, status, typ, owner, text, rest)
		}
		const glucose, both, pulse = `{"system":"http://loinc.org","code":"2345-7"}`, `{"system":"urn:lab","code":"glu"},{"system":"http://loinc.org","code":"2345-7"}`, `{"system":"http://loinc.org","code":"8867-4"}`
		out = append(out,
			result("glucose-1", `,"effectiveDateTime":"2020-01-01"`, "laboratory", glucose),
			result("glucose-2", `,"effectivePeriod":{"start":"2023-05-01T10:00:00Z","end":"2023-05-02T10:00:00Z"}`, "laboratory", both),
			result("glucose-3", `,"effectiveDateTime":"2022"`, "laboratory", `{"system":"urn:lab","code":"glu"}`),
			result("pulse-1", `,"effectiveInstant":"2024-01-01T00:00:00+02:00"`, "vital-signs", pulse),
			result("pulse-2", `,"effectiveDateTime":"2021-06"`, "vital-signs", pulse),
			result("undated", ``, "survey", ``),
			document("ccd-old", "current", "34133-9", `,"context":{"period":{"start":"2020-01-01","end":"2020-02-01"}},"date":"2024-06-01T00:00:00Z"`),
			document("ccd", "current", "34133-9", `,"context":{"period":{"start":"2023-01-01","end":"2023-02-01"}},"content":[{"format":{"system":"urn:f","code":"urn:hl7-org:sdwg:ccda"}}]`),
			document("ccd-wrong", "entered-in-error", "34133-9", `,"date":"2025-06-01T00:00:00Z"`),
			document("note", "current", "11506-3", `,"date":"2022-06-01T00:00:00Z"`),
			fmt.Sprintf(`{"resourceType":"Patient","id":%q,"name":[{"family":"%s"}]}`, owner, text),
			fmt.Sprintf(`{"resourceType":"Condition","id":"%scondition","subject":{"reference":"Patient/%s"},"recordedDate":"2023-03-03","code":{"text":"%s"}}`, p, owner, text),
			fmt.Sprintf(`{"resourceType":"Coverage","id":"%scoverage","beneficiary":{"reference":"Patient/%s"},"status":"active","type":{"text":"%s"}}`, p, owner, text))
	}
	return out
}

func TestOperationsRefuseWhatTheyCannotMean(t *testing.T) {
	h := open(t, 0, dated()...)
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		// other patients, in every place
		{"GET", "/Observation/$lastn?patient=" + bobID, "", 403},
		{"GET", "/Observation/$lastn?subject=Patient/" + bobID, "", 403},
		{"GET", "/Observation/$lastn?patient=alice," + bobID, "", 400},
		{"GET", "/Observation/$lastn?patient=alice&patient=" + bobID, "", 400},
		{"GET", "/Observation/$lastn?patient=alice&subject=Patient/" + bobID, "", 400},
		{"GET", "/Observation/$lastn?patient:Patient=" + bobID, "", 400},
		{"GET", "/Observation/$lastn?patient.name=" + secret, "", 400},
		{"GET", "/DocumentReference/$docref?patient=" + bobID, "", 403},
		{"GET", "/DocumentReference/$docref?patient=alice&patient=" + bobID, "", 400},
		{"GET", "/DocumentReference/$docref?patient=Patient/" + bobID, "", 403},
		{"POST", "/DocumentReference/$docref", parameters(`{"name":"patient","valueId":"` + bobID + `"}`), 403},
		{"POST", "/DocumentReference/$docref?patient=alice", parameters(`{"name":"patient","valueId":"` + bobID + `"}`), 400},
		{"POST", "/DocumentReference/$docref", parameters(`{"name":"patient","valueId":"alice"}`, `{"name":"patient","valueId":"`+bobID+`"}`), 400},
		{"POST", "/Patient/" + bobID + "/$everything", parameters(`{"name":"_count","valueInteger":3}`), 404},
		{"POST", "/Patient/alice/$everything", parameters(`{"name":"patient","valueId":"` + bobID + `"}`), 400},
		{"GET", "/DocumentReference/h-ccd/$docref?patient=alice", "", 400},
		{"GET", "/Observation/h-pulse-1/$lastn", "", 400},
		{"GET", "/Condition/$lastn?patient=alice", "", 400},
		{"GET", "/Observation/$docref?patient=alice", "", 400},
		{"GET", "/Observation/$lastn/x", "", 400},
		// what is missing, twice, or not understood
		{"GET", "/DocumentReference/$docref", "", 400},
		{"GET", "/DocumentReference/$docref?patient=alice&on-demand=perhaps", "", 400},
		{"GET", "/DocumentReference/$docref?patient=alice&start=x", "", 400},
		{"GET", "/DocumentReference/$docref?patient=alice&status=current", "", 400},
		{"GET", "/DocumentReference/$docref?patient=alice&_include=DocumentReference:subject", "", 400},
		{"GET", "/Observation/$lastn?max=0", "", 400},
		{"GET", "/Observation/$lastn?max=-1", "", 400},
		{"GET", "/Observation/$lastn?max=x", "", 400},
		{"GET", "/Observation/$lastn?max=1&max=2", "", 400},
		{"GET", "/Observation/$lastn?status=final", "", 400},
		{"GET", "/Observation/$lastn?_page=AAAA", "", 404},
		{"POST", "/Observation/$lastn", `{"resourceType":"Patient","id":"alice"}`, 400},
		{"POST", "/Observation/$lastn", `{`, 400},
		{"POST", "/Observation/$lastn", parameters(`{"name":"max","name":"patient","valueId":"` + bobID + `"}`), 400},
		{"POST", "/Observation/$lastn", parameters(`{"name":"max","resource":{"resourceType":"Patient"}}`), 400},
		{"POST", "/Observation/$lastn", parameters(`{"name":"max","part":[{"name":"x"}]}`), 400},
		{"POST", "/Observation/$lastn", parameters(`{"name":"max","valueInteger":1,"valueString":"2"}`), 400},
		{"POST", "/Observation/$lastn", parameters(`{"name":"max"}`), 400},
		{"POST", "/Observation/$lastn", parameters(`{"valueInteger":1}`), 400},
		{"POST", "/Observation/$lastn", parameters(strings.Repeat(`{"name":"x","valueString":"`+strings.Repeat("x", 1000)+`"},`, 80) + `{"name":"max","valueInteger":1}`), 413},
		{"PUT", "/Observation/$lastn", parameters(`{"name":"max","valueInteger":1}`), 405},
		{"DELETE", "/DocumentReference/$docref", "", 405},
		// other operations
		{"GET", "/Observation/$stats", "", 400}, {"GET", "/Patient/$match", "", 400}, {"GET", "/Patient/alice/$meta", "", 400},
		{"POST", "/Patient/$validate", parameters(), 400}, {"GET", "/$export", "", 405}, {"GET", "/Patient/alice/$graphql", "", 400},
		{"GET", "/Composition/x/$document", "", 400}, {"GET", "/Encounter/$everything", "", 400},
	} {
		r := h.send(tt.method, tt.path, alice, tt.body, "Content-Type", fhirType)
		if r.status != tt.want || betrays(h, 0, r) != "" || !strings.Contains(r.body, "OperationOutcome") {
			t.Errorf("%s %s %.80s: %d, want %d: %.300s", tt.method, tt.path, tt.body, r.status, tt.want, r.body)
		}
	}
	if r := h.send("POST", "/Observation/$lastn", alice, "max=1"); r.status != 415 {
		t.Errorf("a form: %d", r.status)
	}
	for path, bearer := range map[string]string{
		"/DocumentReference/$docref?patient=alice": "alice:patient/Observation.rs", "/Observation/$lastn": "alice:patient/Observation.r+patient/DocumentReference.rs",
	} {
		if r := h.get(path, bearer); r.status != 403 {
			t.Errorf("%s without the scope: %d", path, r.status)
		}
	}
}

func (h *house) names(t *testing.T, r reply) []string {
	t.Helper()
	var f found
	if err := json.Unmarshal([]byte(r.body), &f); err != nil || r.status != 200 {
		t.Fatalf("%d %.300s", r.status, r.body)
	}
	if what := betrays(h, 0, r); what != "" {
		t.Errorf("gives away %s: %s", what, r.body)
	}
	out := []string{}
	for _, e := range f.Entry {
		if e.Search.Mode == "match" {
			out = append(out, strings.TrimPrefix(shapeOf(t, e.Resource).ID, "h-"))
		}
	}
	return out
}

func TestOperationsGiveWhatTheySay(t *testing.T) {
	h := open(t, 0, dated()...)
	labs := "alice:patient/Observation.rs?category=" + observationCategories + "|laboratory+patient/DocumentReference.rs"
	for _, tt := range []struct {
		path, body, bearer string
		want               []string
	}{
		{"/Observation/$lastn?patient=alice", "", alice, []string{"pulse-1", "glucose-2", "undated"}},
		{"/Observation/$lastn?subject=Patient/alice&max=2", "", alice, []string{"pulse-1", "glucose-2", "glucose-3", "pulse-2", "undated"}},
		{"/Observation/$lastn?max=9&code=http://loinc.org|2345-7", "", alice, []string{"glucose-2", "glucose-1"}},
		{"/Observation/$lastn?max=1000000&category=vital-signs", "", alice, []string{"pulse-1", "pulse-2"}},
		{"/Observation/$lastn?category=vital-signs", "", labs, []string{}},
		{"/Observation/$lastn", "", labs, []string{"glucose-2"}},
		{"/Observation/$lastn", parameters(`{"name":"max","valuePositiveInt":2}`, `{"name":"patient","valueReference":{"reference":"Patient/alice"}}`), alice, nil},
		{"/Observation/$lastn", parameters(`{"name":"max","valuePositiveInt":2}`, `{"name":"code","valueCodeableConcept":{"coding":[{"system":"http://loinc.org","code":"8867-4"},{"code":"none"}]}}`), alice, []string{"pulse-1", "pulse-2"}},
		{"/DocumentReference/$docref?patient=alice", "", alice, []string{"ccd", "note"}},
		{"/DocumentReference/$docref?patient=Patient/alice&type=http://loinc.org|34133-9", "", labs, []string{"ccd"}},
		{"/DocumentReference/$docref?patient=alice&start=2020", "", alice, []string{"ccd-wrong", "ccd", "note", "ccd-old"}},
		{"/DocumentReference/$docref?patient=alice&start=2020-02-01&end=2022-12-31", "", alice, []string{"note", "ccd-old"}},
		{"/DocumentReference/$docref?patient=alice&end=2019", "", alice, []string{}},
		{"/DocumentReference/$docref?patient=alice&on-demand=true", "", alice, []string{}},
		{"/DocumentReference/$docref?patient=alice&on-demand=false&profile=urn:hl7-org:sdwg:ccda", "", alice, []string{"ccd"}},
		{"/DocumentReference/$docref?patient=alice&profile=urn:none", "", alice, []string{}},
		{"/DocumentReference/$docref", parameters(`{"name":"patient","valueId":"alice"}`, `{"name":"start","valueDate":"2022-01-01"}`, `{"name":"on-demand","valueBoolean":false}`, `{"name":"type","valueCodeableConcept":{"coding":[{"system":"http://loinc.org","code":"11506-3"}]}}`), alice, []string{"note"}},
		{"/Patient/alice/$everything?start=2023-01-01&_type=Observation,Condition,Patient,Coverage,DocumentReference", "", alice, []string{"alice", "condition", "coverage", "ccd", "ccd-wrong", "glucose-2", "pulse-1", "undated"}},
		{"/Patient/alice/$everything?end=2020&_type=Observation,Condition,Coverage", "", alice, []string{"coverage", "glucose-1", "undated"}},
		{"/Patient/alice/$everything", parameters(`{"name":"_type","valueCode":"Coverage"}`, `{"name":"_type","valueCode":"Condition"}`, `{"name":"_since","valueInstant":"2000-01-01T00:00:00Z"}`), alice, []string{}},
		{"/Patient/alice/$everything", parameters(`{"name":"_type","valueCode":"Coverage"}`, `{"name":"_type","valueCode":"Condition"}`), alice, []string{"condition", "coverage"}},
	} {
		for _, mode := range []ehr.Mode{0, ehr.IgnorePatient, ehr.ForeignRows | ehr.NoSearchMode} {
			h.ehr.Misbehave(mode)
			method := "GET"
			if tt.body != "" {
				method = "POST"
			}
			r := h.send(method, tt.path, tt.bearer, tt.body, "Content-Type", fhirType)
			if tt.want == nil {
				if r.status != 400 { // a Reference is no primitive
					t.Errorf("%s %s: %d", tt.path, tt.body, r.status)
				}
				continue
			}
			got := h.names(t, r)
			if strings.Contains(tt.path, "$everything") { // the EHR's order
				slices.Sort(got)
				slices.Sort(tt.want)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("mode %b: %s %s: %v, want %v", mode, tt.path, tt.body, got, tt.want)
			}
		}
	}
	h.ehr.Misbehave(0)
	if r := h.get("/Observation/$lastn?_elements=code&_pretty=true", alice); !strings.Contains(r.body, "SUBSETTED") || strings.Contains(r.body, "effective") || !strings.Contains(r.body, "\n") {
		t.Errorf("%s", r.body)
	}
	_, b := h.batch(t, alice, batchOf(getEntry("Observation/$lastn?max=2"), getEntry("DocumentReference/$docref?patient=alice"), getEntry("Patient/alice/$everything?_count=2"),
		getEntry("Patient/alice/*?_count=2"), getEntry("Observation/h-pulse-1/_history"), getEntry("Observation/h-pulse-1/_history/1"), getEntry("Patient/"+bobID+"/*")))
	for i, e := range b.Entry {
		if want := []string{"200 OK", "404 Not Found"}[i/6]; e.Response.Status != want {
			t.Errorf("entry %d: %s", i, e.Response.Status)
		}
	}
	for _, path := range []string{"/Observation/$lastn", "/DocumentReference/$docref?patient=alice"} {
		if r := h.send("HEAD", path, alice, ""); r.status != 200 || r.body != "" {
			t.Errorf("HEAD %s: %d", path, r.status)
		}
	}
	h.sink.take()
	h.get("/DocumentReference/$docref?patient=alice&type=x", alice)
	if e := h.sink.take(); len(e) != 1 || e[0].Interaction != "$docref" || e[0].Type != "DocumentReference" || e[0].Query != "patient,type" {
		t.Errorf("%+v", e)
	}
}

// Of what single reads give, $lastn gives the newest of each code, and $docref
// the documents; nothing of what they do not.
func TestLastNAndDocrefGiveWhatReadsGive(t *testing.T) {
	h, _, all := recordHouse(t)
	patient := smallest(all)
	const labs = "?category=" + observationCategories + "|laboratory"
	bearers := []string{patient + ":patient/*.rs", patient + ":patient/Observation.rs" + labs + "+patient/DocumentReference.rs", patient + ":patient/Observation.rs?category=http://nowhere|x+patient/DocumentReference.rs?category=http://nowhere|x"}
	reads := map[string]map[string]bool{}
	rapid.Check(t, func(r *rapid.T) {
		bearer := rapid.SampledFrom(bearers).Draw(r, "bearer")
		if reads[bearer] == nil {
			reads[bearer] = h.readable(t, all, bearer)
		}
		most := rapid.IntRange(1, 3).Draw(r, "max")
		path, typ := fmt.Sprintf("/Observation/$lastn?patient=%s&max=%d", patient, most), "Observation/"
		if rapid.Bool().Draw(r, "docref") {
			path, typ, most = fmt.Sprintf("/DocumentReference/$docref?patient=%s&start=1900", patient), "DocumentReference/", 1<<20
		}
		// What there is of each code, by a reader of its own.
		left := map[string]int{}
		codeOf := func(name string) string {
			var o struct {
				Code struct {
					Coding []struct{ System, Code string }
					Text   string
				}
			}
			if err := json.Unmarshal(all[name], &o); err != nil {
				t.Fatal(err)
			}
			if len(o.Code.Coding) > 0 {
				return o.Code.Coding[0].Code
			}
			return o.Code.Text
		}
		for name := range reads[bearer] {
			if strings.HasPrefix(name, typ) {
				left[codeOf(name)]++
			}
		}
		for code, n := range left {
			left[code] = min(n, most)
		}
		for _, name := range h.page(t, path, bearer).matches {
			if !reads[bearer][name] {
				r.Fatalf("%s: %s cannot be read", path, name)
			}
			left[codeOf(name)]--
		}
		for code, n := range left {
			if n != 0 {
				r.Fatalf("%s with %s: %d of code %q are missing", path, bearer, n, code)
			}
		}
	})
}

// crowded notes how many questions are open at once.
type crowded struct {
	upstream.Reader
	open, most atomic.Int64
	mu         sync.Mutex
	refuse     string // a type that cannot be searched
	hang       bool
	gone       chan struct{}
}

func (c *crowded) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	n := c.open.Add(1)
	defer c.open.Add(-1)
	c.mu.Lock()
	c.most.Store(max(c.most.Load(), n))
	c.mu.Unlock()
	if typ == c.refuse {
		return nil, fault.New(fault.Invalid, "no")
	}
	if c.hang {
		<-ctx.Done()
		c.gone <- struct{}{}
		return nil, fault.New(fault.Unavailable, "gone")
	}
	time.Sleep(time.Millisecond) // so that the next ones are asked meanwhile
	return c.Reader.Search(ctx, typ, query)
}

func TestTypesAreSearchedAFewAtATime(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	c := &crowded{Reader: h.connector, gone: make(chan struct{}, 10)}
	slow := openOver(t, nil, somewhere(t), 0, func(o *gateway.Options) { o.Sources[0].Upstream, o.Sources[0].Base = c, baseOf(t, h) })
	want := h.get("/Patient/alice/$everything", alice)
	for range 3 {
		got := slow.get("/Patient/alice/$everything", alice)
		if got.status != 200 || strings.ReplaceAll(got.body, slow.base, h.base) != want.body {
			t.Fatalf("%d: the order differs, or the content: %.300s", got.status, got.body)
		}
	}
	if most := c.most.Load(); most < 2 || most > 4 {
		t.Errorf("%d questions at once", most)
	}
	c.refuse = "Goal"
	r := slow.get("/Patient/alice/$everything", alice)
	if r.status != 200 || strings.Contains(r.body, "goal-alice") || !strings.Contains(r.body, "not in this answer: Goal") || !strings.Contains(r.body, "group-alice") {
		t.Errorf("%d %.200s", r.status, r.body)
	}
	c.hang = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- slow.ask(ctx, "/Patient/alice/$everything", alice) }()
	for c.open.Load() < 4 { // all of the first ones are asked
		time.Sleep(time.Millisecond)
	}
	cancel()
	for range 4 {
		<-c.gone
	}
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
}
