package capability

import (
	"testing"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir/uscore"
)

// complete offers exactly what a US Core server SHALL.
func complete(t *testing.T) r4.CapabilityStatementRest {
	t.Helper()
	var rest r4.CapabilityStatementRest
	for _, typ := range uscore.Types() {
		if uscore.Expected(typ) != uscore.Shall {
			continue
		}
		var res r4.CapabilityStatementRestResource
		if err := res.Type.UnmarshalJSON([]byte(`"` + typ + `"`)); err != nil {
			t.Fatal(err)
		}
		for _, name := range uscore.Interactions(typ) {
			var code r4.TypeRestfulInteraction
			if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
				t.Fatal(err)
			}
			res.Interaction = append(res.Interaction, r4.CapabilityStatementRestResourceInteraction{Code: code})
		}
		for _, name := range uscore.Operations(typ) {
			res.Operation = append(res.Operation, r4.CapabilityStatementRestResourceOperation{Name: name})
		}
		for _, s := range uscore.Searches(typ) {
			for _, name := range s.Params {
				if s.Expectation == uscore.Shall {
					res.SearchParam = append(res.SearchParam, r4.CapabilityStatementRestResourceSearchParam{Name: name})
				}
			}
		}
		res.SearchRevInclude = uscore.RevIncludes(typ)
		rest.Resource = append(rest.Resource, res)
	}
	return rest
}

func TestUSCoreIsInstantiatedByAllThatItSaysShallAndNothingLess(t *testing.T) {
	if !instantiatesUSCore(complete(t)) {
		t.Fatal("a complete server does not instantiate US Core")
	}
	for name, without := range map[string]func(*r4.CapabilityStatementRest){
		"a type":                 func(r *r4.CapabilityStatementRest) { r.Resource = r.Resource[1:] },
		"an interaction":         func(r *r4.CapabilityStatementRest) { r.Resource[0].Interaction = r.Resource[0].Interaction[1:] },
		"a search parameter":     func(r *r4.CapabilityStatementRest) { r.Resource[0].SearchParam = nil },
		"a reverse include":      func(r *r4.CapabilityStatementRest) { r.Resource[0].SearchRevInclude = nil },
		"an operation of a type": dropOperations,
	} {
		rest := complete(t)
		without(&rest)
		if instantiatesUSCore(rest) {
			t.Errorf("US Core is instantiated without %s", name)
		}
	}
}

func dropOperations(r *r4.CapabilityStatementRest) {
	for i := range r.Resource {
		r.Resource[i].Operation = nil
	}
}
