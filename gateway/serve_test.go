package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestBadRequestsGetTheRightStatusAndAnOperationOutcome(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	long := strings.Repeat("x", 20_000)
	for _, tt := range []struct {
		name, method, path, bearer, form string
		headers                          []string
		want                             int
	}{
		{"no token", "GET", "/Patient/alice", "", "", nil, 401},
		{"no token, unknown type", "GET", "/Nonsense/1", "", "", nil, 401},
		{"unknown token", "GET", "/Patient/alice", "nonsense", "", nil, 401},
		{"expired token", "GET", "/Patient/expired", "expired:patient/*.rs", "", nil, 401},
		{"token of another source", "GET", "/Patient/alice", "elsewhere/alice:patient/*.rs", "", nil, 401},
		{"basic credentials", "GET", "/Patient/alice", "", "", []string{"Authorization", "Basic YTpi"}, 401},
		{"two tokens", "GET", "/Patient/alice", alice, "", []string{"Authorization", "Bearer " + alice}, 401},
		{"token in the query", "GET", "/Patient/alice?access_token=" + alice, "", "", nil, 401},
		{"unknown source", "GET", "UNKNOWN", alice, "", nil, 404},
		{"type without scope", "GET", "/Condition", "alice:patient/Observation.rs", "", nil, 403},
		{"read with a search scope", "GET", "/Observation/observation-alice", "alice:patient/Observation.s", "", nil, 403},
		{"closed type", "GET", "/ValueSet", alice, "", nil, 403},
		{"token for nobody", "GET", "/Observation", ":patient/*.rs", "", nil, 403},
		{"unknown type", "GET", "/Nonsense", alice, "", nil, 404},
		{"type in another case", "GET", "/observation", alice, "", nil, 404},
		{"missing", "GET", "/Observation/nothing", alice, "", nil, 404},
		{"id that is none", "GET", "/Observation/a%20b", alice, "", nil, 404},
		{"empty id", "GET", "/Observation//", alice, "", nil, 404},
		{"unknown parameter", "GET", "/Observation?nonsense=1", alice, "", nil, 400},
		{"unknown parameter, strict", "GET", "/Observation?nonsense=1", alice, "", []string{"Prefer", "handling=strict"}, 400},
		{"broken value", "GET", "/Observation?date=yesterday", alice, "", nil, 400},
		{"broken encoding", "GET", "/Observation?code=%zz", alice, "", nil, 400},
		{"another patient", "GET", "/Observation?patient=bob", alice, "", nil, 403},
		{"long query", "GET", "/Observation?code=" + long, alice, "", nil, 413},
		{"long body", "POST", "/Observation/_search", alice, "code=" + long, nil, 413},
		{"body of another type", "POST", "/Observation/_search", alice, "", []string{"Content-Type", "application/json"}, 415},
		{"xml by Accept", "GET", "/Observation", alice, "", []string{"Accept", "application/fhir+xml"}, 406},
		{"html by Accept", "GET", "/Observation", alice, "", []string{"Accept", "text/html"}, 406},
		{"xml by _format", "GET", "/Observation/observation-alice?_format=xml", alice, "", nil, 406},
		{"xml by _format in a search", "GET", "/Observation?_format=xml", alice, "", nil, 400},
		{"parameters on a read", "GET", "/Observation/observation-alice?patient=alice", alice, "", nil, 400},
		{"method override", "POST", "/Observation/_search", alice, "code=x", []string{"X-HTTP-Method-Override", "GET"}, 400},
		{"one value in the URL, another in the body", "POST", "/Observation/_search?code=x", alice, "code=y", nil, 400},
		{"create", "POST", "/Observation", alice, "x=y", nil, 403},
		{"update", "PUT", "/Observation/observation-alice", alice, "x=y", nil, 403},
		{"patch", "PATCH", "/Observation/observation-alice", alice, "x=y", nil, 403},
		{"delete", "DELETE", "/Observation/observation-alice", alice, "", nil, 403},
		{"version that is none", "GET", "/Observation/observation-alice/_history/a%20b", alice, "", nil, 404},
		{"version of a version", "GET", "/Observation/observation-alice/_history/1/_history", alice, "", nil, 400},
		{"write of a version", "PUT", "/Observation/observation-alice/_history/1", alice, "x=y", nil, 405},
		{"_elements and _summary", "GET", "/Observation?_elements=code&_summary=true", alice, "", nil, 400},
		{"_summary=text with an include", "GET", "/Observation?_summary=text&_include=Observation:performer", alice, "", nil, 400},
		{"_summary=count on a read", "GET", "/Observation/observation-alice?_summary=count", alice, "", nil, 400},
		{"_pretty that is none", "GET", "/Observation/observation-alice?_pretty=yes", alice, "", nil, 400},
		{"operation", "GET", "/Observation/$stats", alice, "", nil, 400},
		{"system search", "GET", "/", alice, "", nil, 405},
		{"type history", "GET", "/Observation/_history", alice, "", nil, 400},
		{"system history", "GET", "/_history", alice, "", nil, 405},
		{"graphql", "GET", "/$graphql", alice, "", nil, 405},
		{"a form on the base", "POST", "/", alice, "x=y", nil, 415},
		{"search on a type that has none", "GET", "/Binary", alice, "", nil, 405},
		{"paging link with something beside it", "GET", "/Observation?_page=x&code=y", alice, "", nil, 400},
		{"paging link that is none", "GET", "/Observation?_page=x", alice, "", nil, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.path
			if path == "UNKNOWN" {
				path = strings.Replace(h.base, "/fhir/ehr", "/fhir/nowhere", 1) + "/Patient/alice"
			}
			r := h.send(tt.method, path, tt.bearer, tt.form, tt.headers...)
			if r.status != tt.want {
				t.Fatalf("got %d, want %d: %s", r.status, tt.want, r.body)
			}
			var outcome struct {
				ResourceType string
				Issue        []struct{ Severity, Code, Diagnostics string }
			}
			if err := json.Unmarshal([]byte(r.body), &outcome); err != nil || outcome.ResourceType != "OperationOutcome" ||
				len(outcome.Issue) != 1 || outcome.Issue[0].Severity != "error" || outcome.Issue[0].Code == "" || outcome.Issue[0].Diagnostics == "" {
				t.Errorf("not an OperationOutcome: %s", r.body)
			}
			if got := r.header.Get("Content-Type"); got != "application/fhir+json" {
				t.Errorf("Content-Type %q", got)
			}
			if (r.header.Get("WWW-Authenticate") != "") != (tt.want == 401 || tt.want == 403) {
				t.Errorf("WWW-Authenticate %q", r.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestUpstreamFailuresAreNamedWithoutAWordOfTheUpstreams(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for mode, want := range map[ehr.Mode]int{
		ehr.HTMLError: 502, ehr.LoginPage: 502, ehr.StackTrace: 502, ehr.ChattyOutcome: 502, ehr.WrongType: 502,
		ehr.RedirectElsewhere: 502, ehr.Truncate: 502, ehr.WrongLength: 502, ehr.DropMidBody: 502, ehr.Drop: 503,
	} {
		h.ehr.Misbehave(mode)
		for _, path := range []string{"/Observation", "/Observation/observation-alice", "/Communication/communication-alice"} {
			r := h.get(path, alice)
			want := want
			if mode == ehr.WrongType && path != "/Observation" {
				want = 404 // what is no FHIR for us, while "not found" is, would tell that it is there
			}
			if r.status != want || !strings.Contains(r.body, "OperationOutcome") || strings.Contains(strings.ToLower(r.body), "html") {
				t.Errorf("mode %b %s: %d %s", mode, path, r.status, r.body)
			}
		}
	}
}

func TestEveryAccessIsWrittenDownAndNothingLeavesWhenItCannotBe(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct {
		path, outcome, interaction string
		status, released           int
	}{
		{"/Observation/observation-alice", audit.Released, "read", 200, 1},
		{"/Observation?status=final&code=x", audit.Released, "search-type", 200, 0},
		{"/Appointment", audit.Released, "search-type", 200, 2},
		{"/Observation/observation-" + bobID, audit.Absent, "read", 404, 0},
		{"/Observation?nonsense=x", audit.Refused, "search-type", 400, 0},
		{"/ValueSet", audit.Refused, "search-type", 403, 0},
		{"/Nonsense", audit.Refused, "unknown", 404, 0},
	} {
		h.sink.take()
		r := h.get(tt.path, alice)
		events := h.sink.take()
		if len(events) != 1 {
			t.Fatalf("%s: %d events", tt.path, len(events))
		}
		e := events[0]
		if tt.path == "/Nonsense" {
			tt.outcome = audit.Absent
		}
		if e.Outcome != tt.outcome || e.Status != tt.status || r.status != tt.status || e.Interaction != tt.interaction || e.Released != tt.released {
			t.Errorf("%s: %+v, status %d", tt.path, e, r.status)
		}
		if e.Patient != "alice" || e.Client != "app-alice" || e.Source != "ehr" || e.Grant != "grant-1" || e.PersonSub != "sub" || e.ID == "" {
			t.Errorf("%s: who is missing: %+v", tt.path, e)
		}
		if strings.ContainsAny(e.Query, "=|") || strings.Contains(e.Query, "final") {
			t.Errorf("a value is in the audit: %q", e.Query)
		}
	}
	if h.sink.take(); h.get("/Patient/alice", "").status != 401 || len(h.sink.take()) != 0 {
		t.Error("a request without a token is an access")
	}
	h.sink.broken = true
	for _, path := range []string{"/Patient/alice", "/Observation", "/Observation/nothing", "/Observation?nonsense=x"} {
		if r := h.get(path, alice); r.status != http.StatusServiceUnavailable || strings.Contains(r.body, "hers") || strings.Contains(r.body, "disk") {
			t.Errorf("%s without an audit: %d %s", path, r.status, r.body)
		}
	}
}

func TestPostSearchEqualsGet(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	get := h.get("/Observation?patient=Patient/alice&_count=5", alice)
	for _, r := range []reply{
		h.send("POST", "/Observation/_search", alice, "patient=Patient/alice&_count=5"),
		h.send("POST", "/Observation/_search?_count=5", alice, "patient=Patient/alice"),
		h.send("POST", "/Observation/_search?_count=5&patient=Patient/alice", alice, "patient=Patient/alice"),
	} {
		if r.status != 200 || r.body != get.body || !strings.Contains(r.body, "observation-alice") {
			t.Errorf("got %d %s\nwant %s", r.status, r.body, get.body)
		}
	}
}

func TestLenientHandlingWarnsOfWhatWasNotApplied(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	r := h.get("/Observation?nonsense=secretvalue", alice, "Prefer", "handling=lenient")
	if r.status != 200 || !strings.Contains(r.body, `"mode":"outcome"`) || !strings.Contains(r.body, "nonsense") || strings.Contains(r.body, "secretvalue") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestIncludesAreGivenWithinTheScopes(t *testing.T) {
	h := open(t, 0, append(twoRecords(),
		`{"resourceType":"Observation","id":"performed","subject":{"reference":"Patient/alice"},"performer":[{"reference":"Practitioner/dr"}]}`)...)
	both := h.get("/Observation?_id=performed&_include=Observation:performer", alice)
	if !strings.Contains(both.body, `"Practitioner"`) || !strings.Contains(both.body, `"mode":"include"`) {
		t.Errorf("%s", both.body)
	}
	one := h.get("/Observation?_id=performed&_include=Observation:performer", "alice:patient/Observation.rs")
	if one.status != 200 || strings.Contains(one.body, `"resourceType":"Practitioner"`) {
		t.Errorf("a type without scope was included: %s", one.body)
	}
	rev := h.get("/Observation?_id=observation-alice&_revinclude=Provenance:target", alice)
	if !strings.Contains(rev.body, "prov-alice") || strings.Contains(rev.body, "prov-both") {
		t.Errorf("%s", rev.body)
	}
}

func TestAReadKnowsItsVersion(t *testing.T) {
	h := open(t, 0, `{"resourceType":"Patient","id":"alice","meta":{"versionId":"7","lastUpdated":"2024-05-01T10:00:00Z"}}`)
	r := h.get("/Patient/alice", alice)
	if r.header.Get("ETag") != `W/"7"` || r.header.Get("Last-Modified") != "Wed, 01 May 2024 10:00:00 GMT" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", r.header)
	}
	if r := h.get("/Patient/alice", alice, "If-None-Match", `"6", W/"7"`); r.status != http.StatusNotModified || r.body != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := h.get("/Patient/alice", alice, "If-None-Match", `W/"6"`); r.status != http.StatusOK {
		t.Errorf("%d", r.status)
	}
}

func TestCountsAreOurOwn(t *testing.T) {
	var many []string
	for i := range 130 {
		many = append(many, fmt.Sprintf(`{"resourceType":"Observation","id":"o-%d","subject":{"reference":"Patient/alice"}}`, i),
			fmt.Sprintf(`{"resourceType":"Observation","id":"b-%d","subject":{"reference":"Patient/bob"}}`, i))
	}
	h := open(t, 0, many...)
	for _, mode := range []ehr.Mode{0, ehr.IgnorePatient, ehr.WrongTotal, ehr.ForeignRows | ehr.WrongTotal} {
		h.ehr.Misbehave(mode)
		for _, query := range []string{"_summary=count", "_count=0"} {
			if r := h.get("/Observation?"+query, alice); r.body != `{"resourceType":"Bundle","type":"searchset","total":130,"link":[{"relation":"self","url":"`+h.base+"/Observation?"+query+`"}]}` {
				t.Errorf("mode %b %s: %s", mode, query, r.body)
			}
		}
	}
}

func TestMetadataIsOpenAndTrue(t *testing.T) {
	h := open(t, 0)
	r := h.get("/metadata", "", "Origin", "https://app.example.org")
	if r.status != 200 || r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%d %v", r.status, r.header)
	}
	var statement struct {
		FHIRVersion  string
		Instantiates []string
		Rest         []struct {
			Security struct {
				Extension []struct {
					Extension []struct{ URL, ValueURI string }
				}
			}
			Resource []struct {
				Type        string
				Interaction []struct{ Code string }
				SearchParam []struct{ Name, Type string }
			}
		}
	}
	if err := json.Unmarshal([]byte(r.body), &statement); err != nil {
		t.Fatal(err)
	}
	if statement.FHIRVersion != "4.0.1" || len(statement.Rest) != 1 || len(statement.Rest[0].Security.Extension) != 1 {
		t.Fatalf("%s", r.body)
	}
	for _, said := range []string{`"code":"batch"`, `"Patient-everything"`, `"Observation-lastn"`, `"http://hl7.org/fhir/us/core/OperationDefinition/docref"`, `"vread"`, `"history-instance"`, `"readHistory":true`} {
		if !strings.Contains(strings.ReplaceAll(r.body, "http://hl7.org/fhir/OperationDefinition/", ""), said) {
			t.Errorf("%s is not stated", said)
		}
	}
	// Whatever is stated must be answered, and nothing that is refused is stated.
	types := map[string]bool{}
	for _, res := range statement.Rest[0].Resource {
		types[res.Type] = true
		for _, i := range res.Interaction {
			if i.Code != "search-type" {
				continue
			}
			if r := h.get("/"+res.Type+"?_id=x", alice); r.status != 200 {
				t.Errorf("%s is stated to be searchable: %d %s", res.Type, r.status, r.body)
			}
		}
	}
	for _, closed := range []string{"AuditEvent", "Bundle", "ValueSet", "Parameters"} {
		if types[closed] {
			t.Errorf("%s is stated and refused", closed)
		}
	}
	if !types["Appointment"] || !types["Communication"] || !types["Observation"] {
		t.Errorf("types: %v", types)
	}
	// A US Core 6.1.0 server SHALL offer DocumentReference/$docref and SHALL
	// create DocumentReference and DiagnosticReport.
	if len(statement.Instantiates) != 0 {
		t.Errorf("instantiates %v without all that US Core asks for", statement.Instantiates)
	}
	h.ehr.Misbehave(ehr.StackTrace)
	fresh := open(t, 0)
	fresh.ehr.Misbehave(ehr.StackTrace)
	if r := fresh.get("/metadata", ""); r.status != 502 {
		t.Errorf("without the EHR's word: %d", r.status)
	}
}

func TestCORSIsOpenAndWithoutCredentials(t *testing.T) {
	h := open(t, 0)
	r := h.send("OPTIONS", "/Patient/alice", "", "", "Origin", "https://app.example.org", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
	if r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed")
	}
}

// pages follows next links and gives the ids of all entries in order.
func (h *house) pages(path, bearer string) (ids []string, links []string) {
	h.t.Helper()
	for range 100 {
		r := h.get(path, bearer)
		if r.status != 200 {
			h.t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		var bundle struct {
			Link  []struct{ Relation, URL string }
			Entry []struct{ Resource struct{ ID string } }
		}
		if err := json.Unmarshal([]byte(r.body), &bundle); err != nil {
			h.t.Fatal(err)
		}
		for _, e := range bundle.Entry {
			ids = append(ids, e.Resource.ID)
		}
		path = ""
		for _, l := range bundle.Link {
			if l.Relation == "next" {
				path = l.URL
				links = append(links, l.URL)
			}
		}
		if path == "" {
			return ids, links
		}
	}
	h.t.Fatal("endless pages")
	return nil, nil
}

func TestPagesGoOnForTheirOwnerOnly(t *testing.T) {
	var many []string
	for i := range 25 {
		many = append(many, fmt.Sprintf(`{"resourceType":"Observation","id":"o-%02d","subject":{"reference":"Patient/alice"}}`, i))
		many = append(many, fmt.Sprintf(`{"resourceType":"Observation","id":"b-%02d","subject":{"reference":"Patient/bob"}}`, i))
	}
	h := open(t, 0, many...)
	ids, links := h.pages("/Observation?_count=10&_sort=_id", alice)
	if len(ids) != 25 || len(links) != 2 || !slices.IsSorted(ids) {
		t.Fatalf("%v over %d links", ids, len(links))
	}
	for _, l := range links {
		if strings.Contains(l, "alice") || strings.Contains(l, h.origin) {
			t.Errorf("the link says too much: %s", l)
		}
		for name, bearer := range map[string]string{
			"another patient":    "bob@app-alice:patient/*.rs",
			"another app":        "alice@app-bob:patient/*.rs",
			"without the scope":  "alice:patient/Condition.rs",
			"without a token":    "",
			"from another place": "elsewhere/alice:patient/*.rs",
		} {
			if r := h.get(l, bearer); r.status == 200 {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		changed := l[:len(l)-2] + "xx"
		if r := h.get(changed, alice); r.status != 404 {
			t.Errorf("a changed link: %d", r.status)
		}
		if r := h.get(strings.Replace(l, "/Observation?", "/Condition?", 1), alice); r.status != 404 {
			t.Errorf("the link under another type: %d", r.status)
		}
	}
	// Page 2 is judged like page 1.
	h.ehr.Misbehave(ehr.ForeignRows | ehr.IgnorePatient)
	if r := h.get(links[0], alice); r.status != 200 || strings.Contains(r.body, "b-0") || strings.Contains(r.body, "bob") {
		t.Errorf("page 2 of a misbehaving EHR: %s", r.body)
	}
	h.ehr.Misbehave(ehr.NextElsewhere)
	r := h.get("/Observation?_count=10", alice)
	next := r.body[strings.Index(r.body, `"next","url":"`)+14:]
	if r := h.get(next[:strings.Index(next, `"`)], alice); r.status != 502 {
		t.Errorf("a next link to another host was followed: %d", r.status)
	}
}

func TestAMessageIsFoundOnceWhetherAboutFromOrToThePatient(t *testing.T) {
	const me, dr = `{"reference":"Patient/alice"}`, `{"reference":"Practitioner/dr"}`
	h := open(t, 0,
		`{"resourceType":"Communication","id":"about","subject":`+me+`,"sender":`+me+`}`,
		`{"resourceType":"Communication","id":"from","sender":`+me+`,"recipient":[`+dr+`]}`,
		`{"resourceType":"Communication","id":"to","sender":`+dr+`,"recipient":[`+me+`]}`,
		`{"resourceType":"Communication","id":"from-to","sender":`+me+`,"recipient":[`+me+`]}`,
		`{"resourceType":"Communication","id":"others","sender":`+dr+`,"recipient":[{"reference":"Patient/bob"}]}`)
	for most, count := range []string{"", "?_count=1", "?_count=2", "?_count=3"} {
		ids, links := h.pages("/Communication"+count, alice)
		for _, page := range append(links, h.base+"/Communication"+count) {
			if n := strings.Count(h.get(page, alice).body, `"mode":"match"`); most > 0 && n > most {
				t.Errorf("%s: a page has %d matches", count, n)
			}
		}
		slices.Sort(ids)
		if strings.Join(ids, " ") != "about from from-to to" {
			t.Errorf("%s: %v", count, ids)
		}
	}
}
