package uscore_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
)

// The kit's table of US Core 6.1.0 searches, written out by hand from its
// metadata, for the types the certification tests search by patient.
func TestSearchesAreThoseTheCertificationKitRuns(t *testing.T) {
	shall := map[string][]string{
		"AllergyIntolerance": {"patient"},
		"CarePlan":           {"category+patient"},
		"CareTeam":           {"patient+status"},
		"Coverage":           {"patient"},
		"Condition":          {"category+patient", "patient"},
		"DiagnosticReport":   {"category+date+patient", "category+patient", "code+patient", "patient"},
		"DocumentReference":  {"_id", "category+date+patient", "category+patient", "patient", "patient+type"},
		"Encounter":          {"_id", "date+patient", "patient"},
		"Goal":               {"patient"},
		"Location":           {"address", "name"},
		"Medication":         nil,
		"MedicationRequest":  {"intent+patient", "intent+patient+status"},
		"Observation":        {"category+date+patient", "category+patient", "code+patient"},
		"Patient":            {"_id", "birthdate+name", "gender+name", "identifier", "name"},
		"PractitionerRole":   {"practitioner", "specialty"},
		"Procedure":          {"date+patient", "patient"},
		"ServiceRequest":     {"_id", "authored+category+patient", "category+patient", "code+patient", "patient"},
	}
	for typ, want := range shall {
		var got []string
		for _, s := range uscore.Searches(typ) {
			if s.Expectation == uscore.Shall {
				slices.Sort(s.Params)
				got = append(got, strings.Join(s.Params, "+"))
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", typ, diff)
		}
	}
}

func TestEverySearchCanBeAskedByAnApp(t *testing.T) {
	for _, typ := range uscore.Types() {
		if !search.IsResourceType(typ) {
			t.Errorf("%s is no resource type", typ)
		}
		for _, s := range uscore.Searches(typ) {
			for _, name := range s.Params {
				if _, ok := search.Lookup(typ, name); !ok {
					t.Errorf("%s has no search parameter %s", typ, name)
				}
			}
		}
		for name, values := range map[string][]string{"_include": uscore.Includes(typ), "_revinclude": uscore.RevIncludes(typ)} {
			for _, v := range values {
				if _, err := search.Parse(typ, []search.Pair{{Name: name, Value: v}}, search.Options{Strict: true}); err != nil {
					t.Errorf("%s: %s=%s: %v", typ, name, v, err)
				}
			}
		}
	}
}

func TestProfilesAreWholeURLs(t *testing.T) {
	want := []string{
		"http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition-encounter-diagnosis",
		"http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition-problems-health-concerns",
	}
	if diff := cmp.Diff(want, uscore.Profiles("Condition")); diff != "" {
		t.Error(diff)
	}
	if n := len(uscore.Profiles("Observation")); n != 22 {
		t.Errorf("Observation has %d profiles", n)
	}
	for _, typ := range uscore.Types() {
		for _, p := range uscore.Profiles(typ) {
			if !strings.HasPrefix(p, "http://hl7.org/fhir/") {
				t.Errorf("%s: %s", typ, p)
			}
		}
	}
}

func TestCallersCannotChangeTheTables(t *testing.T) {
	uscore.Profiles("Patient")[0] = "changed"
	uscore.Searches("Patient")[0].Params[0] = "changed"
	if uscore.Profiles("Patient")[0] == "changed" || uscore.Searches("Patient")[0].Params[0] == "changed" {
		t.Error("a caller changed the table")
	}
	if uscore.Expected("Patient") != uscore.Shall || uscore.Expected("Slot") != "" {
		t.Error("expectations are wrong")
	}
}

func TestWhatAServerShallDoBesideSearching(t *testing.T) {
	if diff := cmp.Diff([]string{"create", "read", "search-type"}, uscore.Interactions("DocumentReference")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"docref"}, uscore.Operations("DocumentReference")); diff != "" {
		t.Error(diff)
	}
	if got := uscore.Interactions("Provenance"); !slices.Equal(got, []string{"read"}) || uscore.Operations("Provenance") != nil {
		t.Errorf("Provenance: %v", got)
	}
}
