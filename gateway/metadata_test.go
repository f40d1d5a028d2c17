package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// stated is what a CapabilityStatement says of one type.
type stated struct {
	Type             string
	SupportedProfile []string
	Interaction      []struct{ Code string }
	SearchParam      []struct{ Name string }
	SearchInclude    []string
	SearchRevInclude []string
}

func TestMetadataStatesNoMoreThanTheEHRDoes(t *testing.T) {
	const profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-medicationrequest"
	yes := func(names ...string) map[string]bool {
		out := map[string]bool{}
		for _, n := range names {
			out[n] = true
		}
		return out
	}
	ehr := &scripted{known: upstream.Capabilities{Types: map[string]upstream.TypeCapability{
		"Condition":   {Interactions: yes("search-type"), Params: yes("patient", "of-its-own")},
		"Observation": {Interactions: yes("read", "create"), Params: yes("patient")},
		"MedicationRequest": {Interactions: yes("read", "search-type"), Params: yes("patient", "intent"),
			Includes: yes("MedicationRequest:medication", "*"), RevIncludes: yes("Provenance:target"), Profiles: yes(profile, "http://of-its-own")},
		"ValueSet": {Interactions: yes("read", "search-type"), Params: yes("url")},
	}}}
	var statement struct{ Rest []struct{ Resource []stated } }
	if r := openOver(t, ehr, somewhere(t), 0).get("/metadata", ""); json.Unmarshal([]byte(r.body), &statement) != nil || len(statement.Rest) != 1 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	type code = struct{ Code string }
	type name = struct{ Name string }
	want := []stated{
		{Type: "Condition", Interaction: []code{{"search-type"}}, SearchParam: []name{{"patient"}}},
		{
			Type: "MedicationRequest", SupportedProfile: []string{profile}, Interaction: []code{{"read"}, {"search-type"}},
			SearchParam: []name{{"intent"}, {"patient"}}, SearchInclude: []string{"MedicationRequest:medication"}, SearchRevInclude: []string{"Provenance:target"},
		},
		{Type: "Observation", Interaction: []code{{"read"}}},
	}
	if diff := cmp.Diff(want, statement.Rest[0].Resource); diff != "" {
		t.Error(diff)
	}
}

func TestMetadataStatesTheChangesThatPolicyAndEHRAllow(t *testing.T) {
	can := func(names ...string) upstream.TypeCapability {
		out := map[string]bool{"read": true}
		for _, n := range names {
			out[n] = true
		}
		return upstream.TypeCapability{Interactions: out}
	}
	ehr := &scripted{known: upstream.Capabilities{Types: map[string]upstream.TypeCapability{
		"Condition": can("create", "update", "delete"), "Observation": can("create", "update", "delete"), "Goal": can(), "Task": can("update"),
	}}}
	all := []guard.Interaction{guard.Create, guard.Update, guard.Patch, guard.Delete}
	h := openOver(t, ehr, somewhere(t), 0, func(o *gateway.Options) {
		o.Sources[0].Writes = &recorder{}
		o.Sources[0].Write = map[string][]guard.Interaction{"Observation": all, "Goal": all, "Task": {guard.Patch}}
	})
	r := h.get("/metadata", "")
	var statement struct{ Rest []struct{ Resource []stated } }
	if err := json.Unmarshal([]byte(r.body), &statement); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, res := range statement.Rest[0].Resource {
		for _, i := range res.Interaction {
			got[res.Type] += i.Code + " "
		}
	}
	want := map[string]string{"Condition": "read ", "Observation": "read create update patch delete ", "Goal": "read ", "Task": "read patch "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Count(r.body, `"conditionalCreate":true`) != 1 || strings.Contains(r.body, `"updateCreate":true`) {
		t.Error(r.body)
	}
}
