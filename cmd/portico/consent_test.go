package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/smart/authz"
)

// What a wildcard opens must be there to be unticked, in some line, once.
func TestEveryServedTypeIsAKind(t *testing.T) {
	all := kinds()
	for _, typ := range compartment.Types() {
		n := 0
		for _, k := range all {
			if k.Type == typ {
				n++
			}
		}
		if served := compartment.Of(typ).Class.Served(); n > 1 || (n == 1) != served {
			t.Errorf("%s stands %d times, served: %v", typ, n, served)
		}
	}
	for _, k := range all {
		for _, p := range k.Parts {
			if _, known := search.Lookup(k.Type, p.Param); !known {
				t.Errorf("%s has no search parameter %s, so nothing could enforce it", k.Type, p.Param)
			}
		}
	}
}

// The sub-categories that certification asks for: each can be chosen alone.
func TestConditionAndObservationOpenIntoTheirParts(t *testing.T) {
	for typ, want := range map[string][]string{
		"Condition":   {"problem-list-item", "encounter-diagnosis", "health-concern"},
		"Observation": {"laboratory", "vital-signs", "social-history", "sdoh", "survey", "clinical-test", "exam"},
	} {
		i := slices.IndexFunc(kinds(), func(k authz.Kind) bool { return k.Type == typ })
		kind := kinds()[i]
		for _, code := range want {
			there := slices.ContainsFunc(kind.Parts, func(p authz.Part) bool { return p.Param == "category" && strings.HasSuffix(p.Value, "|"+code) })
			if !kind.Choosable || !there {
				t.Errorf("%s cannot be opened into %s", typ, code)
			}
		}
	}
}
