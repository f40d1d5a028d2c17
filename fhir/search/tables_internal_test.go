package search

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestATableThatCannotBeUsedIsRefused(t *testing.T) {
	row := func(cells ...string) string { return strings.Join(cells, "\t") }
	for name, line := range map[string]string{
		"too few columns":             row("Patient", "x", "token"),
		"an unknown type":             row("Dragon", "x", "token", "", "", "Dragon.x", "code", ""),
		"an expression without type":  row("Patient", "x", "token", "", "", "gender", "code", ""),
		"an unknown function":         row("Patient", "x", "token", "", "", "Patient.name.first()", "code", ""),
		"an unknown condition":        row("Patient", "x", "token", "", "", "Patient.name.where(use != 'old')", "code", ""),
		"a condition on two":          row("Patient", "x", "token", "", "", "Patient.name.where(use = 'a' and use = 'b')", "code", ""),
		"arithmetic":                  row("Patient", "x", "token", "", "", "Patient.a + Patient.b", "code", ""),
		"a cast of nothing":           row("Patient", "x", "token", "", "", "Patient.as(Quantity)", "Quantity", ""),
		"a way through a choice":      row("Patient", "x", "token", "", "", "Patient.value[x].code", "Quantity,Coding", ""),
		"alternatives without types":  row("Patient", "x", "token", "", "", "Patient.a | Patient.b", "code", ""),
		"exists of something else":    row("Patient", "x", "token", "", "", "Patient.a.exists() and Patient.b != false", "boolean", ""),
		"a component without types":   row("Patient", "x", "composite", "", "", "Patient", "Patient", "token^$this.code"),
		"a component that is no path": row("Patient", "x", "composite", "", "", "Patient", "Patient", "token^code()^code"),
	} {
		if _, err := parseTables("Patient\n", line); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Every expression of the tables compiles, or loading would have failed; here
// stands what is deliberately not used.
func TestWhatIsNotEvaluatedIsListed(t *testing.T) {
	var got []string
	all := 0
	for typ, entries := range loaded().entries {
		for name, e := range entries {
			all++
			if len(e.paths) == 0 {
				t.Errorf("%s.%s looks at nothing", typ, name)
			}
			if !e.evaluated() {
				got = append(got, typ+"."+name)
			}
		}
	}
	slices.Sort(got)
	want := []string{
		"Bundle.composition", "Bundle.message", "Location.near",
		"Organization.phonetic", "Patient.phonetic", "Person.phonetic", "Practitioner.phonetic", "RelatedPerson.phonetic",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("not evaluated (-want +got)\n%s", diff)
	}
	// 1,703 rows of types, 6 of Resource for each of 146 types, 7 of US Core.
	if all < 2500 {
		t.Errorf("only %d parameters", all)
	}
	for key, reason := range notEvaluated {
		if find(key.typ, key.name) == nil || reason == "" {
			t.Errorf("%v: stale or without a reason", key)
		}
	}
}

func TestIncludeTablesNameReferencesThatLeadThere(t *testing.T) {
	for typ, pairs := range revIncludes {
		for _, pair := range pairs {
			source, name, _ := strings.Cut(pair, ":")
			if e := find(source, name); !includable(e) || !slices.Contains(e.Targets, typ) {
				t.Errorf("%s does not refer to %s", pair, typ)
			}
		}
	}
	for _, pair := range iterated {
		source, name, _ := strings.Cut(pair, ":")
		e := find(source, name)
		if !includable(e) || slices.Contains(e.Targets, "Patient") {
			t.Errorf("%s is no reference among directory resources", pair)
		}
	}
	if e := find("Provenance", "target"); len(e.Targets) < 140 {
		t.Error("Provenance.target does not refer to every type")
	}
}

func TestCompartmentParametersAreMarked(t *testing.T) {
	marked := map[string][]string{
		"Observation":  {"patient", "performer", "subject"},
		"Encounter":    {"patient", "subject"}, // the CompartmentDefinition has patient only
		"Appointment":  {"actor", "patient"},
		"Coverage":     {"beneficiary", "patient", "payor", "policy-holder", "subscriber"},
		"Patient":      {"link"},
		"Task":         {"patient", "subject"}, // not in the R4 compartment
		"Account":      {"patient", "subject"},
		"Practitioner": nil,
		"Provenance":   {"patient", "target"},
	}
	for typ, want := range marked {
		var got []string
		for _, d := range Params(typ) {
			if d.Compartment {
				got = append(got, d.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", typ, diff)
		}
	}
}

func TestEscapes(t *testing.T) {
	for _, s := range []string{"", "plain", `a,b`, `$`, `|`, `\`, `\\,`, `é,ü|$\`} {
		escaped := Escape(s)
		if !wellEscaped(escaped) || unescape(escaped) != s || len(split(escaped, ',')) != 1 || len(split(escaped, '|')) != 1 {
			t.Errorf("%q becomes %q", s, escaped)
		}
	}
	if diff := cmp.Diff([]string{`a\,b`, "c", ""}, split(`a\,b,c,`, ',')); diff != "" {
		t.Error(diff)
	}
	for _, s := range []string{`\`, `a\`, `\a`, `a\\\`} {
		if wellEscaped(s) {
			t.Errorf("%q counts as well escaped", s)
		}
	}
}
