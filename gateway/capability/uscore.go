package capability

import (
	"slices"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir/uscore"
)

// instantiatesUSCore says whether everything is offered that a US Core 6.1.0
// server SHALL do: only then does the statement say that this is one.
func instantiatesUSCore(rest r4.CapabilityStatementRest) bool {
	offered := map[string]r4.CapabilityStatementRestResource{}
	for _, res := range rest.Resource {
		offered[res.Type.Code()] = res
	}
	for _, typ := range uscore.Types() {
		res, there := offered[typ]
		expected := uscore.Expected(typ) == uscore.Shall
		if expected && !there || there && !meetsUSCore(res, typ) {
			return false
		}
	}
	return true
}

// meetsUSCore says whether a type has each interaction, operation, search
// parameter and _revinclude that US Core says it SHALL have.
func meetsUSCore(res r4.CapabilityStatementRestResource, typ string) bool {
	has := map[string]bool{}
	for _, i := range res.Interaction {
		has["interaction "+i.Code.Code()] = true
	}
	for _, o := range res.Operation {
		has["operation "+o.Name] = true
	}
	for _, p := range res.SearchParam {
		has["parameter "+p.Name] = true
	}
	for _, in := range res.SearchRevInclude {
		has["revinclude "+in] = true
	}
	all := func(kind string, names []string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return !has[kind+" "+name] })
	}
	for _, s := range uscore.Searches(typ) {
		if s.Expectation == uscore.Shall && !all("parameter", s.Params) {
			return false
		}
	}
	return all("interaction", uscore.Interactions(typ)) && all("operation", uscore.Operations(typ)) && all("revinclude", uscore.RevIncludes(typ))
}
