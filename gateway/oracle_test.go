package gateway_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// These tests ask the trace what Portico decided, where an answer alone does not
// show it: nothing comes back of another patient's, but why not?

func TestEachTypeIsHeldInsideTheRecordInItsWay(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct {
		path, bearer string
		want         explain.Narrowing
	}{
		{"/Observation", alice, explain.Narrowing{Type: "Observation", Class: "own", How: "search", By: "patient"}},
		{"/Observation?subject=Patient/alice", alice, explain.Narrowing{Type: "Observation", Class: "own", How: "search", By: "patient"}},
		{"/Observation/observation-alice", alice, explain.Narrowing{Type: "Observation", Class: "own", How: "search", By: "patient"}},
		{"/Communication", alice, explain.Narrowing{Type: "Communication", Class: "shared", How: "search", By: "patient", Union: []string{"sender", "recipient"}}},
		{"/Communication?patient=alice", alice, explain.Narrowing{Type: "Communication", Class: "shared", How: "search", By: "patient"}},
		{"/Communication/communication-alice", alice, explain.Narrowing{Type: "Communication", Class: "shared", How: "direct"}},
		{"/Appointment", alice, explain.Narrowing{Type: "Appointment", Class: "shared", How: "search", By: "patient"}},
		{"/Patient?name=x", alice, explain.Narrowing{Type: "Patient", Class: "self", How: "search", By: "_id"}},
		{"/Patient?_id=" + bobID, alice, explain.Narrowing{Type: "Patient", Class: "self", How: "nothing"}},
		{"/Patient/" + bobID, alice, explain.Narrowing{Type: "Patient", Class: "self", How: "nothing"}},
		{"/Practitioner?name=x", alice, explain.Narrowing{Type: "Practitioner", Class: "directory", How: "open"}},
		{"/Device/device-alice", alice, explain.Narrowing{Type: "Device", Class: "reached", How: "direct"}},
		{"/Observation", "alice:patient/Observation.rs?category=a|b", explain.Narrowing{Type: "Observation", Class: "own", How: "search", By: "patient", Partial: true}},
		{"/Observation?_summary=count", alice, explain.Narrowing{Type: "Observation", Class: "own", How: "search", By: "patient", CountOnly: true}},
	} {
		e := h.why(tt.path, tt.bearer)
		if len(e.Narrowing) != 1 || fmt.Sprintf("%+v", e.Narrowing[0]) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s: %s, want %+v", tt.path, text(t, e.Narrowing), tt.want)
		}
		if tt.want.How == "nothing" && len(e.Upstream) > 0 {
			t.Errorf("%s: the EHR was asked: %s", tt.path, text(t, e.Upstream))
		}
		for _, c := range e.Upstream {
			if c.Kind == "search" && !c.Proof && tt.want.By != "" && !slices.Contains(c.Parameters, tt.want.By) && len(tt.want.Union) == 0 {
				t.Errorf("%s: a search without the condition: %s", tt.path, text(t, c))
			}
		}
	}
}

func TestEachEntryThatStaysHasItsReason(t *testing.T) {
	const page = `{"resourceType":"Bundle","entry":[
		{"resource":{"resourceType":"Observation","id":"mine","status":"final","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}},
		{"resource":{"resourceType":"Observation","id":"bobs","status":"final","subject":{"reference":"Patient/bob"}},"search":{"mode":"match"}},
		{"resource":{"resourceType":"Observation","id":"nobodys","status":"final"},"search":{"mode":"match"}},
		{"resource":{"resourceType":"Observation","id":"other-status","status":"preliminary","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}},
		{"resource":{"resourceType":"Condition","id":"unasked","subject":{"reference":"Patient/alice"}},"search":{"mode":"include"}},
		{"resource":{"resourceType":"Observation","status":"final","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}},
		{"resource":{"resourceType":"Observation","id":"twice","id":"x","status":"final","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}},
		{"resource":{"resourceType":"OperationOutcome"},"search":{"mode":"outcome"}},
		{"search":{"mode":"match"}}]}`
	h := openOver(t, &scripted{search: func(string) string { return page }}, somewhere(t), 0)
	e := h.why("/Observation?status=final", alice)
	want := []string{
		"1.1 Observation kept own", "1.2 Observation withheld foreign", "1.3 Observation withheld no-owner", "1.4 Observation withheld unmatched",
		"1.5 Condition withheld not-asked", "1.6 Observation withheld no-id", "1.7  withheld malformed", "1.9  withheld malformed",
	}
	if got := became(e); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if e.Released != 1 || e.Withheld != 7 || e.Reasons["malformed"] != 2 || e.Reasons["foreign"] != 1 {
		t.Errorf("%s", text(t, e))
	}
}

func TestOthersInASharedVisitAreMasked(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	e := h.why("/Appointment/group-visit", alice)
	if got := became(e); len(got) != 1 || !strings.HasSuffix(got[0], " Appointment masked own") || e.Masked != 1 || e.Released != 1 {
		t.Errorf("%s", text(t, e))
	}
}

// The proof behind each way to a device, and what keeps one from being tried.
func TestAProofSaysWhereItComesFrom(t *testing.T) {
	h := open(t, 0, reached(`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"},"device":{"reference":"Device/meter"}}`,
		`{"resourceType":"Provenance","id":"p","target":[{"reference":"Observation/o"}]}`,
		`{"resourceType":"Provenance","id":"q","target":[{"reference":"Observation/o"},{"reference":"Observation/gone"}]}`)...)
	proofs := func(e explain.Explanation) string {
		var out []string
		for _, p := range e.Proofs {
			out = append(out, fmt.Sprintf("%s %s %v %s", p.Kind, p.Type, p.Proven, p.Why))
		}
		return strings.Join(out, "; ")
	}
	for _, tt := range []struct{ name, path, bearer, want string }{
		{"nothing may be read that could lead there", "/Device/meter", "alice:patient/Device.rs", "reach Device false missing"},
		{"found by a search", "/Device/meter", "alice:patient/Device.rs+patient/Observation.rs", "reach Device true found"},
		{"remembered from then", "/Device/meter", "alice:patient/Device.rs+patient/Observation.rs", "reach Device true remembered"},
		{"not remembered for a token that may not read it", "/Device/meter", "alice:patient/Device.rs", "reach Device false missing"},
		{"a target is fetched once", "/Provenance/p", alice, "target Observation true fetched"},
		{"each target must be there", "/Provenance/q", alice, "target Observation true fetched; target Observation false missing"},
		{"a target out of scope is not even asked for", "/Provenance/p", "alice:patient/Provenance.rs", "target Observation false scope"},
		{"what the answer holds needs no fetch", "/Observation?_revinclude=Provenance:target", "alice:patient/Observation.rs+patient/Provenance.rs", "target Observation true known"},
	} {
		e := h.why(tt.path, tt.bearer)
		got := proofs(e)
		kept := got
		if strings.HasPrefix(tt.want, "reach") { // the searches on the way are told as well
			for _, p := range strings.Split(got, "; ") {
				if strings.HasPrefix(p, "reach") {
					kept = p
				}
			}
		}
		if !strings.HasPrefix(kept, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if strings.HasSuffix(tt.want, "scope") && slices.ContainsFunc(e.Upstream, func(c *explain.Call) bool { return c.Proof }) {
			t.Errorf("%s: %s", tt.name, text(t, e.Upstream))
		}
	}
}

func TestProofsEndWithTheirBudget(t *testing.T) {
	entries := make([]string, 130)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"resource":{"resourceType":"Provenance","id":"p-%d","target":[{"reference":"Observation/o-%d"}]},"search":{"mode":"match"}}`, i, i)
	}
	up := &scripted{
		read:   func(string, string) string { return "" },
		search: func(string) string { return `{"resourceType":"Bundle","entry":[` + strings.Join(entries, ",") + `]}` },
	}
	e := openOver(t, up, somewhere(t), 0).why("/Provenance", alice)
	why := map[string]int{}
	for _, p := range e.Proofs {
		why[p.Why]++
	}
	if why["missing"] != 100 || why["budget"] != 30 || e.Reasons["unproven-target"] != 130 || e.Released != 0 {
		t.Errorf("%v, %v", why, e.Reasons)
	}
}

// A message to and from oneself is found by three searches and leaves once.
func TestWhatSeveralSearchesFindIsADuplicate(t *testing.T) {
	const me = `{"reference":"Patient/alice"}`
	h := open(t, 0, `{"resourceType":"Communication","id":"from-to","sender":`+me+`,"recipient":[`+me+`]}`)
	e := h.why("/Communication", alice)
	if got := became(e); !slices.Equal(got, []string{"2.1 Communication kept own", "3.1 Communication withheld duplicate"}) {
		t.Errorf("%q", got)
	}
}

func TestWhatBecameOfEachParameter(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, tt := range []struct {
		name, path string
		headers    []string
		want       string
	}{
		{"sent on", "/Observation?code=a,b&status=final", nil, "code token 2 sent; status token 1 sent"},
		{"the app agrees with our condition", "/Observation?subject=Patient/alice", nil, "subject reference 1 replaced"},
		{"what could hide the owner stays here", "/Observation?_elements=code&_total=accurate", nil, "_elements  1 here; _total  1 here"},
		{"unknown ones are dropped when the app says so", "/Observation?nonsense=1&device-name=2&code=x", []string{"Prefer", "handling=lenient"}, "code token 1 sent; ?  0 dropped; ?  0 dropped"},
		{"and refused otherwise", "/Observation?nonsense=1", nil, "?  0 refused"},
		{"a wrong use of a known one", "/Observation?code:contains=1", nil, "code  0 refused"},
		{"the same by POST", "POST", nil, "code token 1 sent"},
	} {
		e := explain.Explanation{}
		if tt.path == "POST" {
			e = h.explain(http.MethodPost, "/Observation/_search", alice, "code=x")
		} else {
			e = h.why(tt.path, alice, tt.headers...)
		}
		var got []string
		for _, p := range e.Parameters {
			got = append(got, fmt.Sprintf("%s %s %d %s", p.Name, p.Kind, p.Values, p.Became))
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, strings.Join(got, "; "), tt.want)
		}
	}
}

func TestWhichScopeMatchedAndWhichIsMissing(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	const laboratory = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
	for _, tt := range []struct{ path, scopes, want string }{
		{"/Observation", "patient/*.rs", "Observation s whole [patient/*.rs] "},
		{"/Observation", "patient/Condition.rs", "Observation s nothing [] patient/Observation.s"},
		{"/Observation/x", "patient/Observation.s", "Observation r nothing [] patient/Observation.r"},
		{"/Observation", "patient/Observation.rs?category=" + laboratory, "Observation s part [patient/Observation.rs?category=" + laboratory + "] "},
		{"/Observation", "patient/Observation.rs?code=http://x|y", "Observation s part [patient/Observation.rs?code=…] "},
		{"/Observation", "patient/Observation.s?code=http://x|y+patient/Observation.read", "Observation s whole [patient/Observation.s?code=… patient/Observation.rs] "},
		{"/AuditEvent", "patient/*.rs", "AuditEvent s nothing [] closed-type"},
	} {
		e := h.why(tt.path, "alice:"+tt.scopes)
		if len(e.Authorised) != 1 {
			t.Fatalf("%s: %s", tt.path, text(t, e))
		}
		a := e.Authorised[0]
		if got := fmt.Sprintf("%s %s %s %v %s", a.Type, a.Access, a.Covered, a.By, a.Missing); got != tt.want {
			t.Errorf("%s with %s: %q, want %q", tt.path, tt.scopes, got, tt.want)
		}
	}
	e := h.why("/Patient/$everything?_type=Observation,Goal,Condition", "alice:patient/Observation.rs+patient/Goal.rs")
	if len(e.Authorised) != 3 || len(e.Narrowing) != 2 || e.Interaction != "$everything" {
		t.Errorf("%s", text(t, e))
	}
}

// What is foreign and what is missing must be the same to the trace but for the
// type: the same questions, the same number of proofs, the same end.
func TestForeignAndMissingAreDecidedAlike(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	h.why("/Observation/none", alice)
	for _, path := range []string{"/Observation/observation-", "/Condition/condition-", "/Appointment/appointment-", "/Patient/"} {
		foreign, missing := h.why(path+bobID, alice), h.why(path+"none", alice)
		if foreign.Status != 404 || missing.Status != 404 || len(foreign.Upstream) != len(missing.Upstream) || len(foreign.Proofs) != len(missing.Proofs) || foreign.Ended != missing.Ended {
			t.Errorf("%s:\nforeign %s\nmissing %s", path, text(t, foreign), text(t, missing))
		}
		for i, c := range foreign.Upstream {
			if m := missing.Upstream[i]; c.Kind != m.Kind || !slices.Equal(c.Parameters, m.Parameters) {
				t.Errorf("%s: call %d is %s and %s", path, i, text(t, c), text(t, m))
			}
		}
	}
}

// However the EHR misbehaves, what is kept is the patient's own or common.
func TestWhatIsKeptHasOneOfTheReasonsToKeepIt(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	good := []string{"own", "directory", "through", "reached"}
	bad := 0
	for _, mode := range []ehr.Mode{0, ehr.IgnorePatient, ehr.ForeignRows, ehr.ExtraIncludes, ehr.IgnorePatient | ehr.NoSearchMode} {
		h.ehr.Misbehave(mode)
		for _, path := range []string{"/Observation", "/Patient", "/Communication", "/Provenance", "/DocumentReference", "/Appointment", "/Patient/$everything"} {
			for _, one := range h.why(path, alice).Entries {
				if one.Became == "withheld" {
					bad++
				}
				if (one.Became == "kept" || one.Became == "masked") != slices.Contains(good, one.Reason) {
					t.Errorf("mode %b %s: %s", mode, path, text(t, one))
				}
			}
		}
	}
	if bad < 50 {
		t.Errorf("only %d entries were withheld: the EHR behaves", bad)
	}
}

// A narrow token follows no pages without end of what it may not see.
func TestPagesThatHoldNothingForTheTokenAreReadOnInBounds(t *testing.T) {
	asked := 0
	up := &scripted{search: func(string) string {
		asked++
		if asked > 5000 {
			return `{"resourceType":"Bundle"}`
		}
		return `{"resourceType":"Bundle","link":[{"relation":"next","url":"https://ehr.example.org/fhir?more=x"}],"entry":[
			{"resource":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"}},"search":{"mode":"match"}}]}`
	}}
	e := openOver(t, up, somewhere(t), 0).why("/Observation", "alice:patient/Observation.rs?category=a|b")
	if asked > 410 || e.Status != 200 || e.Released != 0 || !e.NextPage {
		t.Errorf("the EHR was asked %d times: %d, %d released", asked, e.Status, e.Released)
	}
}
