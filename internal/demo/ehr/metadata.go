package ehr

import (
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/fhir/search"
)

type coded struct {
	Code string `json:"code"`
}

type searchParam struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type operation struct {
	Name       string `json:"name"`
	Definition string `json:"definition"`
}

type capabilityResource struct {
	Type              string        `json:"type"`
	Interaction       []coded       `json:"interaction"`
	Versioning        string        `json:"versioning"`
	ReadHistory       bool          `json:"readHistory"`
	UpdateCreate      bool          `json:"updateCreate"`
	ConditionalCreate bool          `json:"conditionalCreate"`
	ConditionalRead   string        `json:"conditionalRead"`
	SearchInclude     []string      `json:"searchInclude,omitempty"`
	SearchRevInclude  []string      `json:"searchRevInclude,omitempty"`
	SearchParam       []searchParam `json:"searchParam,omitempty"`
	Operation         []operation   `json:"operation,omitempty"`
}

type capabilityRest struct {
	Mode        string               `json:"mode"`
	Resource    []capabilityResource `json:"resource"`
	Interaction []coded              `json:"interaction"`
}

type capabilityStatement struct {
	ResourceType   string            `json:"resourceType"`
	Status         string            `json:"status"`
	Date           string            `json:"date"`
	Kind           string            `json:"kind"`
	Software       map[string]string `json:"software"`
	Implementation map[string]string `json:"implementation"`
	FHIRVersion    string            `json:"fhirVersion"`
	Format         []string          `json:"format"`
	Rest           []capabilityRest  `json:"rest"`
}

// metadata answers GET metadata (R4 http, section 3.1.0.14). There is no
// rest.security: the server authorises nobody.
func (s *Server) metadata(c *call) (answer, error) {
	revIncludes := map[string][]string{}
	rest := capabilityRest{Mode: "server", Interaction: []coded{{"batch"}}}
	for i := range resourceTypes {
		rest.Resource = append(rest.Resource, capabilityOf(resourceTypes[i].name, revIncludes))
	}
	for i := range rest.Resource {
		rest.Resource[i].SearchRevInclude = revIncludes[rest.Resource[i].Type]
		s.restriction().stated(rest.Resource[i].Type, &rest.Resource[i])
	}
	return answer{status: http.StatusOK, authored: true, resource: encode(capabilityStatement{
		ResourceType:   "CapabilityStatement",
		Status:         "active",
		Date:           s.started.UTC().Format(instant),
		Kind:           "instance",
		Software:       map[string]string{"name": "Portico demonstration EHR"},
		Implementation: map[string]string{"description": "An EHR in memory, for demonstration and tests only", "url": c.base},
		FHIRVersion:    "4.0.1",
		Format:         []string{"json"},
		Rest:           []capabilityRest{rest},
	})}, nil
}

// capabilityOf describes one type and notes which types may _revinclude it.
func capabilityOf(typ string, revIncludes map[string][]string) capabilityResource {
	r := capabilityResource{
		Type: typ, Versioning: "versioned", ReadHistory: true, UpdateCreate: true, ConditionalCreate: true, ConditionalRead: "full-support",
		Interaction: []coded{{"read"}, {"vread"}, {"history-instance"}, {"search-type"}, {"create"}, {"update"}, {"delete"}},
	}
	for _, d := range search.Params(typ) {
		r.SearchParam = append(r.SearchParam, searchParam{d.Name, string(d.Kind)})
		if d.Kind != search.Reference {
			continue
		}
		r.SearchInclude = append(r.SearchInclude, typ+":"+d.Name)
		for _, to := range d.Targets {
			if name := typ + ":" + d.Name; !slices.Contains(revIncludes[to], name) {
				revIncludes[to] = append(revIncludes[to], name)
			}
		}
	}
	if typ == "Patient" {
		r.Operation = []operation{{"everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything"}}
	}
	return r
}
