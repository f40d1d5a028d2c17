package records_test

import (
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/demo/records"
)

// What is right for a grown person can be wrong, or unbelievable, for a child.
func TestWhatChildrenAreGivenSuitsTheirAge(t *testing.T) {
	s := generate(t, records.Options{Seed: 4, Patients: 110, Now: day})
	birth := map[string]time.Time{}
	for _, p := range s.ofType("Patient") {
		born, err := time.Parse("2006-01-02", text(p, "birthDate"))
		if err != nil {
			t.Fatal(err)
		}
		birth["Patient/"+p.ID()] = born
	}
	youngerThan := func(years int, who, when string) bool {
		at, err := time.Parse("2006-01-02", when[:len("2006-01-02")])
		if err != nil {
			t.Fatal(err)
		}
		return birth[who].AddDate(years, 0, 0).After(at)
	}
	children := 0
	for _, o := range s.ofType("Observation") {
		if text(o, "code", "coding", "code") == "98979-8" && youngerThan(18, text(o, "subject", "reference"), text(o, "effectiveDateTime")) {
			t.Errorf("%s: the formula for grown people used for a child", o.ID())
		}
	}
	for _, m := range s.ofType("MedicationRequest") {
		if !youngerThan(12, text(m, "subject", "reference"), text(m, "authoredOn")) {
			continue
		}
		children++
		if how := text(m, "dosageInstruction", "text"); strings.Contains(how, "2 tablets") {
			t.Errorf("%s tells a child: %s", m.ID(), how)
		}
	}
	for _, c := range s.ofType("Communication") {
		if strings.Contains(text(c, "topic", "text"), "school") && youngerThan(6, text(c, "subject", "reference"), text(c, "sent")) {
			t.Errorf("%s is about school, and the child is too small", c.ID())
		}
	}
	for _, a := range s.ofType("Appointment") {
		for p := range a.Root().At("participant", "actor", "reference") {
			if _, ok := birth[p.Text()]; ok && youngerThan(14, p.Text(), text(a, "start")) && strings.Contains(text(a, "patientInstruction"), "not eat") {
				t.Errorf("%s tells a child to fast", a.ID())
			}
		}
	}
	if children == 0 {
		t.Error("no child takes anything")
	}
}
