package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// subsetted is how a resource of which something is missing is marked.
const subsetted = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}`

func TestWhatIsNotAskedForIsCutAfterTheCheck(t *testing.T) {
	own := `{"resourceType":"Observation","id":"own","text":{"div":"<div>hers</div>"},"status":"final", "code":{"text":"c"},"subject":{"reference":"Patient/alice"},"performer":[{"reference":"Patient/` + bobID + `"}],"valueQuantity":{"value":1.50},"note":[{"text":"n"}]}`
	h := open(t, 0, own, `{"resourceType":"Patient","id":"alice","birthDate":"1980"}`,
		`{"resourceType":"Observation","id":"`+mark+`","status":"final","code":{"text":"`+secret+`"},"subject":{"reference":"Patient/`+bobID+`"}}`)
	for query, want := range map[string]string{
		"_elements=code":       `{"meta":{"tag":[` + subsetted + `]},"resourceType":"Observation","id":"own","status":"final", "code":{"text":"c"}}`,
		"_elements=id":         `{"meta":{"tag":[` + subsetted + `]},"resourceType":"Observation","id":"own","status":"final", "code":{"text":"c"}}`,
		"_elements=note,value": `{"meta":{"tag":[` + subsetted + `]},"resourceType":"Observation","id":"own","status":"final", "code":{"text":"c"},"valueQuantity":{"value":1.50},"note":[{"text":"n"}]}`,
		"_summary=text":        `{"meta":{"tag":[` + subsetted + `]},"resourceType":"Observation","id":"own","text":{"div":"<div>hers</div>"},"status":"final", "code":{"text":"c"}}`,
		"_summary=data":        `{"meta":{"tag":[` + subsetted + `]},"resourceType":"Observation","id":"own","status":"final", "code":{"text":"c"},"subject":{"reference":"Patient/alice"},"performer":[MASKED],"valueQuantity":{"value":1.50},"note":[{"text":"n"}]}`,
		"_summary=true":        `{"meta":{"tag":[` + subsetted + `]},"resourceType":"Observation","id":"own","status":"final", "code":{"text":"c"},"subject":{"reference":"Patient/alice"},"performer":[MASKED],"valueQuantity":{"value":1.50}}`,
		"_summary=false":       strings.Replace(own, `{"reference":"Patient/`+bobID+`"}`, "MASKED", 1),
	} {
		want = strings.Replace(want, "MASKED", `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}`, 1)
		// However the EHR misbehaves: it is never told what is wanted.
		for _, mode := range []ehr.Mode{0, ehr.IgnorePatient | ehr.IgnoreID} {
			h.ehr.Misbehave(mode)
			read := h.get("/Observation/own?"+query, alice)
			if read.status != 200 || read.body != want {
				t.Errorf("%s:\n got %d %s\nwant %s", query, read.status, read.body, want)
			}
			found := h.get("/Observation?"+query, alice)
			if got := resourcesOf(found.body); len(got) != 1 || got[0] != want || betrays(h, mode, found) != "" {
				t.Errorf("search, %s: %s", query, found.body)
			}
			if r := h.get("/Observation/"+mark+"?"+query, alice); r.status != 404 {
				t.Errorf("%s of another's: %d", query, r.status)
			}
		}
	}
	h.ehr.Misbehave(0)
	_, b := h.batch(t, alice, batchOf(getEntry("Observation/own?_elements=code"), getEntry("Observation?_summary=true&_pretty=true")))
	for i, e := range b.Entry {
		if e.Response.Status != "200 OK" || !strings.Contains(string(e.Resource), "SUBSETTED") {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	included := h.get("/Observation?_elements=code&_include=Observation:subject", alice)
	if !strings.Contains(included.body, `"birthDate":"1980"`) {
		t.Errorf("_elements of the matches cut an include: %s", included.body)
	}
}

func TestPrettyAnswersDifferInWhiteSpaceOnly(t *testing.T) {
	h := open(t, 64, append(twoRecords(), // streams
		`{"resourceType":"Observation","id":"n","subject":{"reference":"Patient/alice"},"valueQuantity":{"value":1.00,"x":1E-05},"note":[{"text":"a  \u0041 {[\",:]}  \/"}],"empty":[],"o":{}}`)...)
	for _, path := range []string{"/Observation/n", "/Observation?_count=1", "/Observation", "/Observation?code=none", "/Observation?_summary=count", "/Patient/alice/_history", "/Patient/alice/$everything", "/Patient/alice/*?_count=3", "/Observation?_include=Observation:subject"} {
		plain := h.get(path, alice)
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		pretty := h.get(path+separator+"_pretty=true", alice)
		if pretty.status != 200 || !strings.HasPrefix(pretty.body, "{\n  \"") || !strings.HasSuffix(pretty.body, "\n}") {
			t.Fatalf("%s: %d %s", path, pretty.status, pretty.body)
		}
		var a, b any
		if json.Unmarshal([]byte(plain.body), &a) != nil || json.Unmarshal([]byte(pretty.body), &b) != nil {
			t.Fatalf("%s: not JSON: %s", path, pretty.body)
		}
		if diff := cmp.Diff(withoutLinks(a), withoutLinks(b)); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		if strings.Contains(plain.body, "1E-05") {
			for _, exact := range []string{"1.00", "1E-05", `a  \u0041 {[\",:]}  \/`} {
				if !strings.Contains(pretty.body, exact) {
					t.Errorf("%s: %s has changed: %s", path, exact, pretty.body)
				}
			}
		}
		// Laid out as any printer of JSON would.
		var again bytes.Buffer
		if err := json.Indent(&again, []byte(pretty.body), "", "  "); err != nil || again.String() != pretty.body {
			t.Errorf("%s: %v\n%s\n%s", path, err, pretty.body, again.String())
		}
	}
}

// withoutLinks takes the links out: paging handles are never the same twice.
func withoutLinks(v any) any {
	if object, ok := v.(map[string]any); ok {
		delete(object, "link")
	}
	return v
}

func TestTotals(t *testing.T) {
	var many []string
	for i := range 7 {
		many = append(many, fmt.Sprintf(`{"resourceType":"Observation","id":"o-%d","subject":{"reference":"Patient/alice"}}`, i),
			fmt.Sprintf(`{"resourceType":"Observation","id":"b-%d","subject":{"reference":"Patient/bob"}}`, i))
	}
	h := open(t, 0, many...)
	total := func(r reply) int {
		var b struct{ Total *int }
		if err := json.Unmarshal([]byte(r.body), &b); err != nil || b.Total == nil {
			return -1
		}
		return *b.Total
	}
	for _, mode := range []ehr.Mode{0, ehr.IgnorePatient | ehr.WrongTotal, ehr.ForeignRows} {
		h.ehr.Misbehave(mode)
		for query, want := range map[string]int{
			"": 7, "?_total=none": -1, "?_total=estimate": 7, "?_total=accurate": 7,
			"?_count=3": -1, "?_count=3&_total=none": -1, "?_count=3&_total=estimate": -1, "?_count=3&_total=accurate": 7,
			"?_summary=count&_total=none": 7, "?_count=3&_total=accurate&code=x": 0,
		} {
			if got := total(h.get("/Observation"+query, alice)); got != want {
				t.Errorf("mode %b, %q: total %d, want %d", mode, query, got, want)
			}
		}
	}
	h.ehr.Misbehave(0)
	var b found
	if err := json.Unmarshal([]byte(h.get("/Observation?_count=3&_total=accurate", alice).body), &b); err != nil || b.next() == "" {
		t.Fatal(err)
	}
	if got := total(h.get(b.next(), alice)); got != 7 {
		t.Errorf("on the second page: %d", got)
	}
}

func TestConditionalReads(t *testing.T) {
	h := open(t, 0, `{"resourceType":"Patient","id":"alice","meta":{"versionId":"7","lastUpdated":"2024-05-01T10:00:00.700Z"}}`, `{"resourceType":"Observation","id":"undated","subject":{"reference":"Patient/alice"}}`,
		`{"resourceType":"Patient","id":"`+bobID+`","meta":{"versionId":"7","lastUpdated":"2024-05-01T10:00:00Z"}}`)
	const exact, before, after = "Wed, 01 May 2024 10:00:00 GMT", "Wed, 01 May 2024 09:59:59 GMT", "Wed, 01 May 2024 10:00:01 GMT"
	for _, tt := range []struct {
		path    string
		headers []string
		want    int
	}{
		{"/Patient/" + bobID, []string{"If-Modified-Since", after}, 404},
		{"/Patient/" + bobID, []string{"If-None-Match", "*"}, 404},
		{"/Patient/alice", []string{"If-Modified-Since", exact}, 304},
		{"/Patient/alice", []string{"If-Modified-Since", after}, 304},
		{"/Patient/alice", []string{"If-Modified-Since", before}, 200},
		{"/Patient/alice", []string{"If-Modified-Since", "yesterday"}, 200},
		{"/Patient/alice", []string{"If-Modified-Since", after, "If-None-Match", `W/"6"`}, 200},
		{"/Patient/alice", []string{"If-Modified-Since", before, "If-None-Match", `W/"7"`}, 304},
		{"/Patient/alice", []string{"If-Modified-Since", after, "If-None-Match", ``}, 200},
		{"/Patient/alice", []string{"If-None-Match", `"1"`, "If-None-Match", `"7"`}, 304},
		{"/Patient/alice/_history/7", []string{"If-Modified-Since", exact}, 304},
		{"/Patient/alice/_history/7", []string{"If-None-Match", `W/"7"`}, 304},
		{"/Observation/undated", []string{"If-Modified-Since", after}, 200},
		{"/Patient", []string{"If-Modified-Since", after}, 200},
	} {
		r := h.get(tt.path, alice, tt.headers...)
		if r.status != tt.want || tt.want == 304 && (r.body != "" || r.header.Get("ETag") != `W/"7"`) {
			t.Errorf("%s %q: %d, want %d", tt.path, tt.headers, r.status, tt.want)
		}
		if events := h.sink.take(); len(events) != 1 || events[0].Status != tt.want {
			t.Errorf("%s: audit %+v", tt.path, events)
		}
	}
	body := `{"resourceType":"Bundle","type":"batch","entry":[
		{"request":{"method":"GET","url":"Patient/alice","ifModifiedSince":"2024-05-01T10:00:00Z"}},
		{"request":{"method":"GET","url":"Patient/alice/_history/7","ifNoneMatch":"W/\"7\""}},
		{"request":{"method":"GET","url":"Patient/alice","ifModifiedSince":"2020-05-01T12:00:00+02:00"}}]}`
	_, b := h.batch(t, alice, body)
	for i, want := range []string{"304 Not Modified", "304 Not Modified", "200 OK"} {
		if b.Entry[i].Response.Status != want {
			t.Errorf("entry %d: %s", i, b.Entry[i].Response.Status)
		}
	}
	if r := h.send(http.MethodHead, "/Patient/alice", alice, "", "If-Modified-Since", after); r.status != 304 {
		t.Errorf("HEAD: %d", r.status)
	}
}
