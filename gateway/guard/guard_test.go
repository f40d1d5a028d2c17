package guard_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

func who(t testing.TB, scopes string) guard.Who {
	t.Helper()
	set, err := scope.Parse(scopes)
	if err != nil {
		t.Fatal(err)
	}
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	return guard.Who{Patient: "me", Scopes: set, Base: base}
}

func everything(string, string) bool { return true }

func searchFor(t testing.TB, typ, query string) guard.Ask {
	t.Helper()
	pairs, err := search.ParsePairs(query)
	if err != nil {
		t.Fatal(err)
	}
	q, err := search.Parse(typ, pairs, search.Options{Strict: true, MaxCount: 100})
	if err != nil {
		t.Fatal(err)
	}
	return guard.Ask{Interaction: guard.Search, Type: typ, Query: q}
}

func TestAuthoriseDeniesWithoutAScopeForTheType(t *testing.T) {
	read := func(typ string) guard.Ask { return guard.Ask{Interaction: guard.Read, Type: typ, ID: "x"} }
	for _, tt := range []struct {
		name, scopes string
		ask          guard.Ask
		allowed      bool
	}{
		{"no scope", "openid fhirUser launch/patient", read("Observation"), false},
		{"another type", "patient/Condition.rs", read("Observation"), false},
		{"a longer name", "patient/ObservationX.rs", read("Observation"), false},
		{"search only", "patient/Observation.s", read("Observation"), false},
		{"read only", "patient/Observation.r", searchFor(t, "Observation", ""), false},
		{"write only", "patient/Observation.cud patient/Condition.write", read("Observation"), false},
		{"system level", "system/*.rs", read("Observation"), false},
		{"granular for another type", "patient/Condition.rs?category=a|b", read("Observation"), false},
		{"granular without the letter", "patient/Observation.s?category=a|b", read("Observation"), false},
		{"granular at system level", "system/Observation.rs?category=a|b", read("Observation"), false},
		{"granular on a closed type", "patient/*.rs?_id=x", read("ValueSet"), false},
		{"closed type under a wildcard", "patient/*.cruds", read("ValueSet"), false},
		{"audit events under a wildcard", "patient/*.cruds", read("AuditEvent"), false},
		{"unknown type under a wildcard", "patient/*.cruds", read("Nonsense"), false},
		{"read", "patient/Observation.rs", read("Observation"), true},
		{"search", "patient/Observation.rs", searchFor(t, "Observation", ""), true},
		{"v1", "patient/Observation.read", searchFor(t, "Observation", ""), true},
		{"granular is enough to ask", "patient/Observation.rs?category=a|b", read("Observation"), true},
		{"wildcard", "patient/*.read", read("Observation"), true},
		{"user level reaches the same patient", "user/Observation.rs", read("Observation"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := who(t, tt.scopes).Authorise(tt.ask)
			if (err == nil) != tt.allowed {
				t.Fatalf("got %v", err)
			}
			if err != nil && fault.KindOf(err) != fault.Forbidden {
				t.Errorf("kind %d", fault.KindOf(err))
			}
		})
	}
	nobody := who(t, "patient/*.cruds")
	nobody.Patient = ""
	if err := nobody.Authorise(read("Observation")); fault.KindOf(err) != fault.Forbidden || err == nil {
		t.Errorf("a token without a patient: %v", err)
	}
}

func TestNarrowRefusesToNameAnotherPatient(t *testing.T) {
	for _, tt := range []struct{ typ, query string }{
		{"Observation", "patient=other"},
		{"Observation", "patient=Patient/other"},
		{"Observation", "subject=Patient/other"},
		{"Observation", "subject=other"},
		{"Observation", "performer=Patient/other"},
		{"Observation", "performer=other"}, // several types: could be the other patient
		{"Observation", "focus=Group/g,Patient/other"},
		{"Appointment", "actor=Patient/other"},
		{"Appointment", "actor=other"},
		{"Appointment", "patient=other"},
		{"Communication", "sender=Patient/other"},
		{"Communication", "recipient=Patient/other"},
		{"Coverage", "beneficiary=Patient/other"},
		{"Coverage", "subscriber=Patient/other"},
		{"Condition", "asserter=Patient/other"},
		{"Provenance", "target=Patient/other"},
		{"Schedule", "actor=Patient/other"},
		{"Patient", "link=Patient/other"},
	} {
		t.Run(tt.typ+"?"+tt.query, func(t *testing.T) {
			p, err := who(t, "patient/*.rs").Narrow(searchFor(t, tt.typ, tt.query), everything)
			if err == nil {
				t.Fatalf("was planned: %+v", p.Calls)
			}
			if k := fault.KindOf(err); k != fault.Forbidden && k != fault.Invalid {
				t.Errorf("kind %d", k)
			}
			if strings.Contains(fault.PublicOf(err), "other") && strings.Contains(fault.PublicOf(err), "Patient/other") {
				t.Errorf("the value is in the message: %v", err)
			}
		})
	}
}

func TestNarrowAsksForTheOwnRecordOnly(t *testing.T) {
	for _, tt := range []struct {
		name, typ, query string
		calls            []string // sorted "name=value&…", one per call
	}{
		{"nothing asked", "Observation", "", []string{"patient=me"}},
		{"the app agrees by id", "Observation", "patient=me", []string{"patient=me"}},
		{"the app agrees by reference", "Observation", "patient=Patient/me", []string{"patient=me"}},
		{"the app agrees by another name", "Observation", "subject=Patient/me&code=1", []string{"code=1&patient=me"}},
		{"control parameters that could hide the owner are not sent", "Observation", "_elements=code&_summary=true&_total=accurate", []string{"patient=me"}},
		{"another's id under _id is narrowed", "Observation", "_id=x", []string{"_id=x&patient=me"}},
		{"Patient finds itself", "Patient", "name=smith", []string{"_id=me&name=smith"}},
		{"Patient by the own id", "Patient", "_id=me", []string{"_id=me"}},
		{"Patient by another's id is not even asked", "Patient", "_id=other", nil},
		{"messages by subject, sender and recipient", "Communication", "status=completed", []string{"patient=me&status=completed", "sender=Patient/me&status=completed", "recipient=Patient/me&status=completed"}},
		{"messages about me only", "Communication", "patient=me", []string{"patient=me"}},
		{"my visits with a doctor", "Appointment", "actor=Practitioner/dr", []string{"actor=Practitioner/dr&patient=me"}},
		{"my visits by actor", "Appointment", "actor=Patient/me", []string{"patient=me"}},
		{"directory", "Practitioner", "name=smith", []string{"name=smith"}},
		{"provenance by target", "Provenance", "target=Observation/1", []string{"target=Observation/1"}},
		{"provenance of nothing in particular", "Provenance", "", []string{"patient=me"}},
		{"a device by id has to prove itself", "Device", "_id=d", []string{"_id=d"}},
		{"devices", "Device", "", []string{"patient=me"}},
		{"an adverse event has no patient parameter", "AdverseEvent", "", []string{"subject=Patient/me"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := who(t, "patient/*.rs").Narrow(searchFor(t, tt.typ, tt.query), everything)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range p.Calls {
				got = append(got, canonical(t, c.Query))
			}
			if !slices.Equal(got, tt.calls) {
				t.Errorf("got %q, want %q", got, tt.calls)
			}
		})
	}
}

func canonical(t *testing.T, query string) string {
	t.Helper()
	v, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for name, values := range v {
		for _, one := range values {
			out = append(out, name+"="+one)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "&")
}

func TestNarrowRefusesToWalkAWholeType(t *testing.T) {
	for _, typ := range []string{"PaymentNotice", "PaymentReconciliation", "EnrollmentResponse", "Substance", "DeviceMetric", "BiologicallyDerivedProduct", "Binary"} {
		if p, err := who(t, "patient/*.rs").Narrow(searchFor(t, typ, ""), everything); err == nil {
			t.Errorf("%s is searched with %+v", typ, p.Calls)
		}
	}
}

// Whatever type is searched, a condition on the patient is in every call unless
// the type is a directory or each result must prove itself.
func TestEveryOwnedTypeIsNarrowedInEveryCall(t *testing.T) {
	for _, typ := range compartment.Types() {
		rule := compartment.Of(typ)
		p, err := who(t, "patient/*.rs").Narrow(searchFor(t, typ, ""), everything)
		if err != nil || !rule.Class.Served() || rule.Class == compartment.Directory {
			continue
		}
		for _, c := range p.Calls {
			if v, _ := url.ParseQuery(c.Query); !slices.ContainsFunc(slices.Collect(mapValues(v)), func(s string) bool { return s == "me" || s == "Patient/me" }) {
				t.Errorf("%s is searched with %q", typ, c.Query)
			}
		}
	}
}

func mapValues(v url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, values := range v {
			for _, one := range values {
				if !yield(one) {
					return
				}
			}
		}
	}
}

func TestNarrowUsesTheParameterThatTheUpstreamHas(t *testing.T) {
	onlySubject := func(_, param string) bool { return param == "subject" }
	p, err := who(t, "patient/*.rs").Narrow(searchFor(t, "Observation", ""), onlySubject)
	if err != nil || len(p.Calls) != 1 || canonical(t, p.Calls[0].Query) != "subject=Patient/me" {
		t.Errorf("%+v, %v", p.Calls, err)
	}
	if p, err := who(t, "patient/*.rs").Narrow(searchFor(t, "Observation", ""), func(string, string) bool { return false }); err == nil {
		t.Errorf("a search that cannot be narrowed was planned: %+v", p.Calls)
	}
}

func TestReadsAreNarrowedWhereTheUpstreamCan(t *testing.T) {
	read := func(typ, id string, s guard.Supports) []guard.Call {
		p, err := who(t, "patient/*.rs").Narrow(guard.Ask{Interaction: guard.Read, Type: typ, ID: id}, s)
		if err != nil {
			t.Fatal(err)
		}
		return p.Calls
	}
	if c := read("Observation", "o1", everything); len(c) != 1 || canonical(t, c[0].Query) != "_id=o1&patient=me" {
		t.Errorf("%+v", c)
	}
	if c := read("Observation", "o1", func(_, p string) bool { return p != "_id" }); len(c) != 1 || c[0].ID != "o1" {
		t.Errorf("%+v", c)
	}
	if c := read("Communication", "c1", everything); len(c) != 1 || c[0].ID != "c1" {
		t.Errorf("what one search may miss is read directly: %+v", c)
	}
	if c := read("Patient", "other", everything); len(c) != 0 {
		t.Errorf("another patient is asked for: %+v", c)
	}
	if c := read("Patient", "me", everything); len(c) != 1 || c[0].ID != "me" {
		t.Errorf("%+v", c)
	}
}
