package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// explain gives the trace of a request.
func (h *house) explain(method, path, bearer, form string, headers ...string) explain.Explanation {
	h.t.Helper()
	q := gateway.ExplainRequest{Source: "ehr", Method: method, Path: strings.TrimPrefix(path, h.base), Token: bearer, Body: form, Header: http.Header{}}
	if form != "" {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		q.Header.Add(headers[i], headers[i+1])
	}
	e, err := h.gateway.Explain(h.t.Context(), q)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return e
}

// why explains a GET.
func (h *house) why(path, bearer string, headers ...string) explain.Explanation {
	h.t.Helper()
	return h.explain(http.MethodGet, path, bearer, "", headers...)
}

func text(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// became lists what happened to the entries, in order.
func became(e explain.Explanation) []string {
	var out []string
	for _, one := range e.Entries {
		if !one.Proof {
			out = append(out, fmt.Sprintf("%d.%d %s %s %s", one.Call, one.Position, one.Type, one.Became, one.Reason))
		}
	}
	return out
}

// What may be explained, and that nothing of it is done or given.
func TestOnlyWhatChangesNothingIsExplained(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct {
		name string
		q    gateway.ExplainRequest
		kind fault.Kind
	}{
		{"a change", gateway.ExplainRequest{Source: "ehr", Method: "PUT", Path: "/Observation/observation-alice", Token: alice}, fault.Unsupported},
		{"a deletion", gateway.ExplainRequest{Source: "ehr", Method: "DELETE", Path: "/Observation/observation-alice", Token: alice}, fault.Unsupported},
		{"a batch, which may hold changes", gateway.ExplainRequest{Source: "ehr", Method: "POST", Path: "/", Token: alice}, fault.Unsupported},
		{"a new resource", gateway.ExplainRequest{Source: "ehr", Method: "POST", Path: "/Observation", Token: alice}, fault.Unsupported},
		{"a search that is none", gateway.ExplainRequest{Source: "ehr", Method: "POST", Path: "/Observation?x=/_search", Token: alice}, fault.Unsupported},
		{"another source", gateway.ExplainRequest{Source: "other", Method: "GET", Path: "/Observation", Token: alice}, fault.NotFound},
		{"another source by the path", gateway.ExplainRequest{Source: "other/../ehr", Method: "GET", Path: "/Observation", Token: alice}, fault.NotFound},
		{"no path", gateway.ExplainRequest{Source: "ehr", Method: "GET", Path: "Observation", Token: alice}, fault.Invalid},
		{"a host", gateway.ExplainRequest{Source: "ehr", Method: "GET", Path: "https://ehr.example/Observation", Token: alice}, fault.Invalid},
		{"the open metadata", gateway.ExplainRequest{Source: "ehr", Method: "GET", Path: "/metadata", Token: alice}, fault.Invalid},
		{"a header that could mean something", gateway.ExplainRequest{Source: "ehr", Method: "GET", Path: "/Observation", Token: alice, Header: http.Header{"X-Http-Method-Override": {"DELETE"}}}, fault.Invalid},
		{"a second token", gateway.ExplainRequest{Source: "ehr", Method: "GET", Path: "/Observation", Token: alice, Header: http.Header{"authorization": {"Bearer x"}}}, fault.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := h.gateway.Explain(t.Context(), tt.q)
			if err == nil || fault.KindOf(err) != tt.kind {
				t.Errorf("%v, %s", err, text(t, e))
			}
		})
	}
	if events := h.sink.take(); len(events) > 0 {
		t.Errorf("%+v", events)
	}
}

func TestAnExplainedAccessIsInTheAuditAsOne(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct {
		path, bearer, outcome string
		status, events        int
	}{
		{"/Observation", alice, audit.Released, 200, 1},
		{"/Observation/observation-" + bobID, alice, audit.Absent, 404, 1},
		{"/Observation", "alice:patient/Condition.rs", audit.Refused, 403, 1},
		{"/Observation", "", "", 401, 0}, // nobody's access
	} {
		e := h.why(tt.path, tt.bearer)
		if e.Status != tt.status || e.Outcome != tt.outcome {
			t.Errorf("%s as %q: %s", tt.path, tt.bearer, text(t, e))
		}
		events := h.sink.take()
		if len(events) != tt.events {
			t.Fatalf("%s: %+v", tt.path, events)
		}
		for _, v := range events {
			if v.Outcome != audit.Explained || v.Released != 0 || v.Masked != 0 || v.Patient != "alice" || v.Status != tt.status {
				t.Errorf("%s: %+v", tt.path, v)
			}
		}
	}
	h.sink.broken = true
	if e := h.why("/Observation", alice); e.Status != http.StatusServiceUnavailable || e.Error != "unavailable" {
		t.Errorf("not recorded, and yet: %s", text(t, e))
	}
}

// Whoever writes into a request or an answer, their words do not get into a trace.
func TestNoWordOfTheAppsOrTheEHRsIsInATrace(t *testing.T) {
	const evil = "Parkersecret"
	hostile := &scripted{
		read: func(string, string) string { return `{"resourceType":"` + evil + `","id":"` + evil + `"}` },
		search: func(string) string {
			return `{"resourceType":"Bundle","link":[{"relation":"next","url":"https://ehr.example.org/fhir?` + evil + `=` + evil + `"}],"entry":[
				{"resource":{"resourceType":"` + evil + `","id":"` + evil + `"},"search":{"mode":"` + evil + `"}},
				{"resource":{"resourceType":"Observation","id":"` + evil + `","subject":{"reference":"Patient/` + evil + `"}},"search":{"mode":"match"}},
				{"resource":{"resourceType":"Observation","id":"1","id":"` + evil + `"}}]}`
		},
	}
	h := openOver(t, hostile, somewhere(t), 0)
	for _, tt := range []struct {
		path, bearer string
		headers      []string
	}{
		{"/Observation", alice, nil},
		{"/Observation/" + evil, alice, nil},
		{"/" + evil, alice, nil},
		{"/" + evil + "/" + evil, alice, nil},
		{"/Observation?" + evil + "=1", alice, nil},
		{"/Observation?" + evil + "=1&code:" + evil + "=2", alice, []string{"Prefer", "handling=lenient"}},
		{"/Observation?code:" + evil + "=2", alice, nil},
		{"/Observation?code=" + evil + "|" + evil, alice, nil},
		{"/Observation?_include=" + evil + ":" + evil, alice, nil},
		{"/Observation?_sort=" + evil, alice, nil},
		{"/Observation?_elements=" + evil, alice, nil},
		{"/Observation?subject=Patient/" + evil, alice, nil},
		{"/Observation?_page=" + evil, alice, nil},
		{"/Observation?_format=" + evil, alice, nil},
		{"/Observation", alice, []string{"Accept", evil, "Prefer", evil, "If-None-Match", evil}},
		{"/Observation/$" + evil, alice, nil},
		{"/Patient/" + evil + "/$everything?_type=" + evil, alice, nil},
		{"/Observation", "alice:patient/Observation.rs?code=" + evil + "|" + evil, nil},
		{"/Observation", "alice:patient/Observation.rs?" + evil + "=1", nil},
		{"/Observation", "alice:patient/Observation.rs?category=" + evil, nil},
		{"/Observation", "alice:patient/" + evil + ".rs", nil},
		{"/Observation", evil, nil},
		{"/Provenance", evil + ":patient/*.rs", nil},
	} {
		e := h.why(tt.path, tt.bearer, tt.headers...)
		e.Client = "" // bearers name the app after the patient
		if out := text(t, e); strings.Contains(strings.ToLower(out), strings.ToLower(evil)) {
			t.Errorf("%s as %s: %s", tt.path, tt.bearer, out)
		}
	}
}

// Tickets.

func withIDs(h *house) *httptest.Server {
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	h.gateway.Mount(router)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Test-Id")
		router.ServeHTTP(w, r.WithContext(reqctx.With(r.Context(), reqctx.New(id, time.Now()))))
	}))
}

func TestATicketChangesNothingOfTheAnswerAndIsGoodForItsSourceAndTime(t *testing.T) {
	now := time.Now()
	hospital := open(t, 0, twoRecords()...)
	_ = hospital
	base := somewhere(t)
	up := &scripted{
		read:   func(string, string) string { return "" },
		search: func(string) string { return `{"resourceType":"Bundle"}` },
	}
	h := openOver(t, up, base, 0, func(o *gateway.Options) {
		o.Now = func() time.Time { return now }
		o.Sources = append(o.Sources, gateway.Source{ID: "second", Name: "Second", Base: base, Upstream: up})
	})
	srv := withIDs(h)
	defer srv.Close()
	good, err := h.gateway.Ticket("ehr", 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.gateway.Ticket("second", 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		source string
		life   time.Duration
	}{{"ehr", 0}, {"ehr", -time.Second}, {"ehr", time.Hour}, {"nowhere", time.Minute}} {
		if ticket, err := h.gateway.Ticket(bad.source, bad.life); err == nil {
			t.Errorf("%+v: %s", bad, ticket)
		}
	}
	plain := h.send("GET", srv.URL+"/fhir/ehr/Observation", alice, "")
	for i, tt := range []struct {
		name   string
		ticket string
		later  time.Duration
		bearer string
		kept   int
	}{
		{"made up", "AAAA", 0, alice, 0},
		{"changed", good[:len(good)-1] + "_", 0, alice, 0},
		{"of another source", other, 0, alice, 0},
		{"good", good, 0, alice, 1},
		{"good, of a request without a token", good, 0, "", 1},
		{"good until its end", good, 9 * time.Minute, alice, 1},
		{"over", good, 10 * time.Minute, alice, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := now
			now = now.Add(tt.later)
			defer func() { now = before }()
			id := fmt.Sprint("request-", i)
			r := h.send("GET", srv.URL+"/fhir/ehr/Observation", tt.bearer, "", gateway.ExplainHeader, tt.ticket, "Test-Id", id)
			if tt.bearer != "" && (r.status != plain.status || r.body != plain.body || len(r.header) != len(plain.header)) {
				t.Errorf("the answer differs: %s\nplain: %s", r.everything(), plain.everything())
			}
			got := h.gateway.Explanations(id)
			if len(got) != tt.kept {
				t.Fatalf("%s", text(t, got))
			}
			if tt.kept > 0 {
				now = now.Add(15 * time.Minute)
				if again := h.gateway.Explanations(id); len(again) != 0 {
					t.Error("it waits for ever")
				}
			}
		})
	}
	h.sink.take()
	// A batch has one for each entry, and the batch's own.
	body := `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Observation"}},{"request":{"method":"GET","url":"Goal/x"}}]}`
	r := h.send("POST", srv.URL+"/fhir/ehr/", alice, body, "Content-Type", "application/fhir+json", gateway.ExplainHeader, good, "Test-Id", "batch")
	if got := h.gateway.Explanations("batch"); r.status != 200 || len(got) != 3 || got[1].Type != "Observation" || got[2].Status != 404 {
		t.Errorf("%d %s", r.status, text(t, got))
	}
	for _, e := range h.sink.take() {
		if e.Outcome == audit.Explained {
			t.Error("what an app was given is in the audit as explained")
		}
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	h := openOver(t, &scripted{read: func(string, string) string { return "" }}, somewhere(t), 0)
	srv := withIDs(h)
	defer srv.Close()
	ticket, err := h.gateway.Ticket("ehr", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 250 {
		h.send("GET", srv.URL+"/fhir/ehr/Goal/x", alice, "", gateway.ExplainHeader, ticket, "Test-Id", fmt.Sprint(i))
	}
	waiting := 0
	for i := range 250 {
		waiting += len(h.gateway.Explanations(fmt.Sprint(i)))
	}
	if waiting != 200 || len(h.gateway.Explanations("249")) != 1 {
		t.Errorf("%d wait", waiting)
	}
}

func TestATraceIsBounded(t *testing.T) {
	entries := make([]string, 5000)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"resource":{"resourceType":"Observation","id":"o-%d","subject":{"reference":"Patient/other"}}}`, i)
	}
	up := &scripted{search: func(string) string { return `{"resourceType":"Bundle","entry":[` + strings.Join(entries, ",") + `]}` }}
	e := openOver(t, up, somewhere(t), 0).why("/Observation", alice)
	if len(e.Entries) != 1000 || e.LeftOut != 4000 || e.Reasons["foreign"] != 5000 || e.Withheld != 5000 {
		t.Errorf("%d entries, %d left out, %v", len(e.Entries), e.LeftOut, e.Reasons)
	}
}

// A trace says the same whatever it costs to make, and makes no difference.
func TestExplainingIsTheSamePath(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, mode := range []ehr.Mode{0, ehr.IgnorePatient, ehr.ForeignRows | ehr.ExtraIncludes} {
		h.ehr.Misbehave(mode)
		for _, path := range []string{"/Observation", "/Appointment", "/Communication", "/Provenance", "/Patient/$everything", "/Observation/observation-" + bobID, "/Device/device-alice", "/Binary/bin-alice"} {
			h.sink.take()
			r := h.get(path, alice)
			asked := h.sink.take()
			e := h.why(path, alice)
			if len(asked) != 1 || e.Status != r.status || e.Outcome != asked[0].Outcome || e.Released != asked[0].Released || e.Withheld != asked[0].Withheld || e.Masked != asked[0].Masked {
				t.Errorf("mode %b %s: %d %+v\nexplained: %s", mode, path, r.status, asked, text(t, e))
			}
			sum := 0
			for _, n := range e.Reasons {
				sum += n
			}
			if sum != e.Withheld {
				t.Errorf("mode %b %s: reasons %v of %d withheld", mode, path, e.Reasons, e.Withheld)
			}
		}
		h.sink.take()
	}
	if steps := []string{"authenticate", "parse", "authorise", "respond"}; !slices.Equal(steps, []string{
		h.why("/Observation", "").Ended, h.why("/Observation?nonsense=1", alice).Ended, h.why("/Observation", "alice:openid").Ended, h.why("/Observation", alice).Ended,
	}) {
		t.Error("the step at which it ended is told wrongly")
	}
}
