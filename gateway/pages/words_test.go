package pages

import (
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/smart/authz"
)

func TestEveryTypeThatIsServedHasPlainWords(t *testing.T) {
	types := compartment.Types()
	if len(types) < 100 {
		t.Fatalf("only %d resource types", len(types))
	}
	for _, typ := range types {
		if !compartment.Of(typ).Class.Served() {
			continue
		}
		if _, ok := wordsFor(typ); !ok {
			t.Errorf("%s can be asked for, but has no plain words", typ)
		}
	}
}

func TestEveryWordingIsDrawn(t *testing.T) {
	groups := map[string]bool{}
	for _, g := range groupOrder() {
		groups[g.key] = true
	}
	labels := map[string]string{}
	for typ, w := range typeWords {
		if !groups[w.group] {
			t.Errorf("%s stands in group %q, which is not drawn", typ, w.group)
		}
		if w.label == "" || w.hint == "" {
			t.Errorf("%s has no words", typ)
		}
		if other := labels[w.label]; other != "" {
			t.Errorf("%s and %s are called the same", typ, other)
		}
		labels[w.label] = typ
	}
}

func TestWordingOfScopes(t *testing.T) {
	const cat = "http://terminology.hl7.org/CodeSystem/observation-category"
	tests := []struct {
		name        string
		in          authz.ScopeView
		group, want string
	}{
		{"hostile type", authz.ScopeView{Value: "patient/X.r", Type: "X\u202e"}, "other", "Information of the kind “X”"},
		{"broken filter", authz.ScopeView{Value: "patient/Observation.r?%zz", Type: "Observation"}, "tests", "Lab results and vital signs"},
		{"two categories are not one", authz.ScopeView{Value: "patient/Observation.r?category=" + cat + "|laboratory&category=" + cat + "|survey", Type: "Observation"}, "tests", "Lab results and vital signs, a part of it"},
		{"another parameter", authz.ScopeView{Value: "patient/Observation.r?code=x|y", Type: "Observation"}, "tests", "Lab results and vital signs, a part of it"},
		{"everything", authz.ScopeView{Value: "patient/*.rs", Type: "*"}, "all", "The whole record"},
		{"labs alone", authz.ScopeView{Value: "patient/Observation.rs?category=" + cat + "|laboratory", Type: "Observation"}, "tests", "Lab results"},
		{"category without system", authz.ScopeView{Value: "patient/Condition.rs?category=health-concern", Type: "Condition"}, "problems", "Health worries"},
		{"offline", authz.ScopeView{Value: "offline_access"}, "stay", "Keep access while you do other things"},
		{"unknown scope", authz.ScopeView{Value: "blink"}, "other", "“blink”"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := wording(tt.in)
			if got.group != tt.group || got.label != tt.want {
				t.Errorf("group %q label %q, want %q %q", got.group, got.label, tt.group, tt.want)
			}
		})
	}
}

func TestSpansAreSaidTheWayPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour:           "In less than a minute",
		time.Minute:          "In about 1 minute",
		time.Hour:            "In about 1 hour",
		5 * time.Hour:        "In about 5 hours",
		30 * 24 * time.Hour:  "In about 30 days",
		365 * 24 * time.Hour: "In about 12 months",
	} {
		if got := lasting(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
