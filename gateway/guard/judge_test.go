package guard_test

import (
	"fmt"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/guard"
)

func resource(t testing.TB, raw string) *fhir.Resource {
	t.Helper()
	r, err := fhir.ParseResource([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestJudgeWithholdsWhatIsNotCertainlyAllowed(t *testing.T) {
	for _, tt := range []struct {
		name, scopes, raw string
		want              guard.Decision
		reason            string
	}{
		{"another's", "patient/*.rs", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/other"}}`, guard.Withhold, "foreign"},
		{"nobody's", "patient/*.rs", `{"resourceType":"Observation","id":"x"}`, guard.Withhold, "no-owner"},
		{"no id", "patient/*.rs", `{"resourceType":"Observation","subject":{"reference":"Patient/me"}}`, guard.Withhold, "no-id"},
		{"a type without scope", "patient/Condition.rs", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/me"}}`, guard.Withhold, "scope"},
		{"a granular scope", "patient/Observation.rs?category=a|b", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/me"}}`, guard.Withhold, "scope"},
		{"a closed type", "patient/*.rs", `{"resourceType":"Bundle","id":"x"}`, guard.Withhold, "closed-type"},
		{"an outcome", "patient/*.rs", `{"resourceType":"OperationOutcome","id":"x"}`, guard.Withhold, "closed-type"},
		{"shared and not maskable", "patient/*.rs", `{"resourceType":"Appointment","id":"x","contained":[{"resourceType":"Patient","id":"p"}],"participant":[{"actor":{"reference":"Patient/me"}}]}`, guard.Withhold, "unmaskable"},
		{"provenance of nothing", "patient/*.rs", `{"resourceType":"Provenance","id":"x"}`, guard.Withhold, "no-target"},
		{"provenance of something elsewhere", "patient/*.rs", `{"resourceType":"Provenance","id":"x","target":[{"reference":"Observation/1"},{"reference":"https://h.example/Observation/2"}]}`, guard.Withhold, "unprovable-target"},
		{"provenance of something unnamed", "patient/*.rs", `{"resourceType":"Provenance","id":"x","target":[{"display":"a"}]}`, guard.Withhold, "unprovable-target"},
		{"provenance", "patient/*.rs", `{"resourceType":"Provenance","id":"x","target":[{"reference":"Observation/1"}]}`, guard.ProveTargets, "through"},
		{"a payment", "patient/*.rs", `{"resourceType":"PaymentReconciliation","id":"x","detail":[{"request":{"reference":"Claim/1"}},{"response":{"reference":"ClaimResponse/1"}}]}`, guard.ProveTargets, "through"},
		{"a payment of a bill that is not named", "patient/*.rs", `{"resourceType":"PaymentReconciliation","id":"x","detail":[{"request":{"reference":"Claim/1"}},{"amount":{"value":7},"submitter":{"display":"B"}}]}`, guard.Withhold, "unprovable-target"},
		{"a payment of a bill named by nothing", "patient/*.rs", `{"resourceType":"PaymentReconciliation","id":"x","request":{"reference":"Task/1"},"detail":[{"request":[]}]}`, guard.Withhold, "unprovable-target"},
		{"a payment without details", "patient/*.rs", `{"resourceType":"PaymentReconciliation","id":"x","request":{"reference":"Task/1"}}`, guard.ProveTargets, "through"},
		{"a device of nobody", "patient/*.rs", `{"resourceType":"Device","id":"x"}`, guard.ProveReach, "reached"},
		{"a document's bytes", "patient/*.rs", `{"resourceType":"Binary","id":"x"}`, guard.ProveReach, "reached"},
		{"a document's bytes that say whose they are", "patient/*.rs", `{"resourceType":"Binary","id":"x","securityContext":{"reference":"DocumentReference/1"}}`, guard.ProveTargets, "through"},
		{"my own", "patient/Observation.rs", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/me"}}`, guard.Keep, "own"},
		{"a doctor", "patient/Practitioner.r", `{"resourceType":"Practitioner","id":"x"}`, guard.Keep, "directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := who(t, tt.scopes).Judge(resource(t, tt.raw))
			if v.Decision != tt.want || v.Reason != tt.reason {
				t.Errorf("got %d %q", v.Decision, v.Reason)
			}
		})
	}
}

// Every type, so that none forgets the filter (CVE-2026-24487).
func TestJudgeKeepsNothingOfAnotherWhateverTheType(t *testing.T) {
	for _, typ := range compartment.Types() {
		for _, member := range []string{"subject", "patient", "beneficiary", "individual", "for", "candidate", "sender", "deliverTo", "actor"} {
			r := resource(t, fmt.Sprintf(`{"resourceType":%q,"id":"x",%q:{"reference":"Patient/other"}}`, typ, member))
			v := who(t, "patient/*.cruds user/*.cruds").Judge(r)
			if v.Decision == guard.Keep && (compartment.Of(typ).Class != compartment.Directory || len(v.Mask) == 0) {
				t.Errorf("%s with %s of another patient is kept as %s", typ, member, v.Reason)
			}
		}
	}
}

func TestJudgeFoundWithholdsWhatWasNotAsked(t *testing.T) {
	w := who(t, "patient/*.rs")
	own := func(typ, id string) *fhir.Resource {
		return resource(t, fmt.Sprintf(`{"resourceType":%q,"id":%q,"subject":{"reference":"Patient/me"}}`, typ, id))
	}
	read, err := w.Narrow(guard.Ask{Interaction: guard.Read, Type: "Observation", ID: "o1"}, everything)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*fhir.Resource{own("Observation", "o2"), own("Condition", "o1")} {
		if v, _ := read.JudgeFound(r, "match", 0); v.Decision != guard.Withhold || v.Reason != "not-asked" {
			t.Errorf("a read of Observation/o1 gives %s/%s: %+v", r.Type(), r.ID(), v)
		}
	}
	if v, match := read.JudgeFound(own("Observation", "o1"), "", 0); v.Decision != guard.Keep || !match {
		t.Errorf("%+v", v)
	}
	found, err := w.Narrow(searchFor(t, "MedicationRequest", "_include=MedicationRequest:medication&_revinclude=Provenance:target"), everything)
	if err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[string]guard.Decision{
		"MedicationRequest": guard.Keep, "Medication": guard.Keep, "Condition": guard.Withhold, "Practitioner": guard.Withhold,
	} {
		if v, match := found.JudgeFound(own(typ, "x"), "", 0); v.Decision != want || match != (typ == "MedicationRequest") {
			t.Errorf("%s: %+v", typ, v)
		}
	}
}

func TestAnUpstreamThatIgnoresAParameterChangesNothing(t *testing.T) {
	p, err := who(t, "patient/*.rs").Narrow(searchFor(t, "Observation", "status=final&_include=Observation:has-member"), everything)
	if err != nil {
		t.Fatal(err)
	}
	status := func(s string) *fhir.Resource {
		return resource(t, `{"resourceType":"Observation","id":"x","status":"`+s+`","subject":{"reference":"Patient/me"}}`)
	}
	for _, tt := range []struct {
		status, mode string
		want         guard.Decision
		match        bool
	}{
		{"final", "match", guard.Keep, true},
		{"final", "", guard.Keep, true},
		{"preliminary", "match", guard.Withhold, false},
		{"preliminary", "", guard.Keep, false}, // can only be an include
		{"preliminary", "include", guard.Keep, false},
	} {
		if v, match := p.JudgeFound(status(tt.status), tt.mode, 0); v.Decision != tt.want || match != tt.match {
			t.Errorf("%+v: %+v, %v", tt, v, match)
		}
	}
}

func TestWhatAnEarlierCallFindsIsNotGivenTwice(t *testing.T) {
	p, err := who(t, "patient/*.rs").Narrow(searchFor(t, "Communication", ""), everything)
	if err != nil || len(p.Calls) != 3 {
		t.Fatalf("%+v, %v", p.Calls, err)
	}
	const mine, staff = `{"reference":"Patient/me"}`, `{"reference":"Practitioner/dr"}`
	for _, tt := range []struct {
		name, members string
		kept          []int // the calls from which it is kept
	}{
		{"about me", `"subject":` + mine + `,"sender":` + mine + `,"recipient":[` + mine + `]`, []int{0}},
		{"from me", `"sender":` + mine + `,"recipient":[` + staff + `]`, []int{0, 1}},
		{"from me to me", `"sender":` + mine + `,"recipient":[` + mine + `]`, []int{0, 1}},
		{"to me", `"sender":` + staff + `,"recipient":[` + mine + `]`, []int{0, 1, 2}},
	} {
		r := resource(t, `{"resourceType":"Communication","id":"x",`+tt.members+`}`)
		var kept []int
		for call := range p.Calls {
			if v, _ := p.JudgeFound(r, "match", call); v.Decision == guard.Keep {
				kept = append(kept, call)
			}
		}
		if fmt.Sprint(kept) != fmt.Sprint(tt.kept) {
			t.Errorf("%s: kept from calls %v, want %v", tt.name, kept, tt.kept)
		}
	}
}
