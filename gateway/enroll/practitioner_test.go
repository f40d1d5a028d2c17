package enroll_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/enroll/enrolltest"
	"github.com/portico-fhir/portico/internal/fault"
)

// clinic is the family's EHR with a practitioner.
func clinic(practitioner string) *ehr {
	out := family()
	if practitioner != "" {
		out.reads["Practitioner/doe"] = practitioner
	}
	return out
}

const doe = `{"resourceType":"Practitioner","id":"doe","name":[{"text":"Dr. Doe"}]}`

func resolver(t *testing.T, at *ehr, rule enroll.SourceRule) *enroll.Resolver {
	t.Helper()
	rule.Base = base
	r, err := enroll.New(enroll.Options{
		Sources: map[string]enroll.SourceRule{source: rule}, Lookup: at, Store: &enrolltest.Memory{}, Now: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A practitioner acts for nobody, but may open a patient for whom the EHR
// launches an app.
func TestPractitioners(t *testing.T) {
	for name, c := range map[string]struct {
		claim   any
		doe     string // at the EHR
		signIn  bool   // may they sign in at all?
		self    bool   // a link of their own as well
		working bool   // may they open leo after a launch?
	}{
		"a practitioner":                  {"Practitioner/doe", doe, true, false, true},
		"an absolute reference":           {base + "/Practitioner/doe", doe, true, false, true},
		"twice the same":                  {[]any{"Practitioner/doe", base + "/Practitioner/doe"}, doe, true, false, true},
		"a patient as well":               {[]any{"Patient/maria", "Practitioner/doe"}, doe, true, true, true},
		"a patient alone":                 {"Patient/maria", doe, true, true, false},
		"of another EHR":                  {"https://other.example.org/fhir/Practitioner/doe", doe, false, false, false},
		"an old version":                  {"Practitioner/doe/_history/1", doe, false, false, false},
		"two of them":                     {[]any{"Practitioner/doe", "Practitioner/roe"}, doe, false, false, false},
		"unknown to the EHR":              {"Practitioner/doe", "", false, false, false},
		"no longer active":                {"Practitioner/doe", `{"resourceType":"Practitioner","id":"doe","active":false}`, false, false, false},
		"somebody else's resource":        {"Practitioner/doe", `{"resourceType":"Practitioner","id":"roe"}`, false, false, false},
		"a role":                          {"PractitionerRole/doe", doe, false, false, false},
		"a patient, and unknown as a doe": {[]any{"Patient/maria", "Practitioner/doe"}, "", true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := resolver(t, clinic(c.doe), enroll.SourceRule{Rule: enroll.FHIRUser})
			err := r.SignedIn(t.Context(), source, person(), map[string]any{"fhirUser": c.claim})
			if (err == nil) != c.signIn || (err != nil && fault.KindOf(err) != fault.NotFound) {
				t.Fatalf("SignedIn: %v", err)
			}
			links, err := r.Links(t.Context(), person(), source)
			if err != nil || (len(links) > 0) != c.self {
				t.Errorf("links %v, %v", links, err)
			}
			got, err := r.Launched(t.Context(), person(), source, "leo")
			if !c.working {
				if fault.KindOf(err) != fault.NotFound {
					t.Errorf("Launched gave %+v, %v", got, err)
				}
				return
			}
			want := enroll.Link{Source: source, Patient: "leo", Relationship: enroll.Practitioner, FHIRUser: "Practitioner/doe", Label: got.Label}
			if d := cmp.Diff(want, got); d != "" || err != nil || got.Label == "" {
				t.Errorf("Launched: %v (-want +got):\n%s", err, d)
			}
			if _, err := r.Launched(t.Context(), person(), source, "nobody"); fault.KindOf(err) != fault.NotFound {
				t.Errorf("a patient there is not: %v", err)
			}
			if _, err := r.Launched(t.Context(), person(), "south", "leo"); fault.KindOf(err) != fault.NotFound {
				t.Errorf("another source: %v", err)
			}
		})
	}
}

// Signing in again without the claim ends the link.
func TestAPractitionerWhoLeavesIsNoneAtTheNextSignIn(t *testing.T) {
	r := resolver(t, clinic(doe), enroll.SourceRule{Rule: enroll.FHIRUser})
	if err := r.SignedIn(t.Context(), source, person(), map[string]any{"fhirUser": "Practitioner/doe"}); err != nil {
		t.Fatal(err)
	}
	if err := r.SignedIn(t.Context(), source, person(), map[string]any{"fhirUser": "Patient/maria"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Launched(t.Context(), person(), source, "leo"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("still a practitioner: %v", err)
	}
}

// With the other rules the claim fhirUser says who works there as well.
func TestAPractitionerWhereClaimsHoldIDs(t *testing.T) {
	r := resolver(t, clinic(doe), enroll.SourceRule{Rule: enroll.Identifier, Claim: "mrn", System: system})
	if err := r.SignedIn(t.Context(), source, person(), map[string]any{"fhirUser": "Practitioner/doe"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Launched(t.Context(), person(), source, "leo"); err != nil {
		t.Error(err)
	}
}

func TestAnOutageAtALaunchIsNotNobody(t *testing.T) {
	at := clinic(doe)
	r := resolver(t, at, enroll.SourceRule{Rule: enroll.FHIRUser})
	if err := r.SignedIn(t.Context(), source, person(), map[string]any{"fhirUser": "Practitioner/doe"}); err != nil {
		t.Fatal(err)
	}
	at.down = fault.New(fault.UpstreamTimeout, "slow")
	if _, err := r.Launched(t.Context(), person(), source, "leo"); fault.KindOf(err) != fault.UpstreamTimeout {
		t.Errorf("Launched: %v", err)
	}
	if err := r.SignedIn(t.Context(), source, person(), map[string]any{"fhirUser": "Practitioner/doe"}); fault.KindOf(err) != fault.UpstreamTimeout {
		t.Errorf("SignedIn: %v", err)
	}
}
