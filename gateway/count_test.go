package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/smart/scope"
)

func resources(t *testing.T, text string) []scope.Resource {
	t.Helper()
	set, err := scope.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set.Resources
}

func TestCountsAreWhatAnAppWouldGet(t *testing.T) {
	h := open(t, 0, append(hidden(), twoRecords()...)...)
	const labs = "patient/Observation.rs?category=" + observationCategories + "|laboratory"
	for _, mode := range []ehr.Mode{0, ehr.IgnorePatient, ehr.ForeignRows, ehr.WrongTotal} {
		h.ehr.Misbehave(mode)
		got := h.gateway.Counts(t.Context(), "ehr", "alice", resources(t, "patient/Observation.rs "+labs+" patient/Condition.rs patient/Practitioner.rs patient/Patient.rs patient/Linkage.rs"))
		for text, want := range map[string]int{"patient/Observation.rs": 13, labs: 2, "patient/Condition.rs": 1} {
			if got[text] != want {
				t.Errorf("mode %d: %s: %d, want %d", mode, text, got[text], want)
			}
		}
		for _, text := range []string{"patient/Practitioner.rs", "patient/Patient.rs"} {
			if n, counted := got[text]; counted {
				t.Errorf("mode %d: %s is counted: %d", mode, text, n)
			}
		}
	}
	h.sink.take()
	if got := h.gateway.Counts(t.Context(), "ehr", "", resources(t, labs)); len(got) != 0 {
		t.Errorf("for nobody: %v", got)
	}
	if got := h.gateway.Counts(t.Context(), "other", "alice", resources(t, labs)); len(got) != 0 {
		t.Errorf("at an unknown source: %v", got)
	}
}

func TestWhatCannotBeCountedInTimeIsLeftOut(t *testing.T) {
	h := open(t, 0, hidden()...)
	h.ehr.Misbehave(ehr.Slow)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if got := h.gateway.Counts(ctx, "ehr", "alice", resources(t, "patient/Observation.rs patient/Condition.rs")); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %s", took)
	}
}
