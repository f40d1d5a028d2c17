// Package capability owns what a FHIR base says of itself: its
// CapabilityStatement. It is built from the tables that the guard decides with,
// cut down to what the upstream says it can do, so that it states only what
// works. It must not know requests, tokens or records.
package capability

import (
	"encoding/json"
	"fmt"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// Statement is what is to be stated (R4 http, section 3.1.0.9).
type Statement struct {
	Name     string // of the source
	URL      string // of the FHIR base, as apps see it
	Version  string // of the software; "" is not stated
	Now      time.Time
	Upstream *upstream.Capabilities // nil: it states nothing, the guard's tables stand alone
	Versions bool                   // old versions are read where the upstream has them
	// Allows says which changes apps may make, where the upstream takes them.
	Allows     func(typ string, i guard.Interaction) bool
	Operations []Operation

	AuthorizeURL, TokenURL string
}

// Operation is one that is served where the type can be searched.
type Operation struct {
	Type, Name string
	Definition string // its canonical URL
}

// JSON encodes the statement.
func (s Statement) JSON() ([]byte, error) {
	rest, err := s.rest()
	if err != nil {
		return nil, err
	}
	software := r4.CapabilityStatementSoftware{Name: "Portico"}
	if s.Version != "" {
		software.Version = &s.Version
	}
	statement := r4.CapabilityStatement{
		Status:         r4.PublicationStatusActive,
		Date:           s.Now.UTC().Format("2006-01-02"),
		Kind:           r4.CapabilityStatementKindInstance,
		Software:       &software,
		Implementation: &r4.CapabilityStatementImplementation{Description: s.Name, Url: &s.URL},
		FhirVersion:    r4.FHIRVersion4_0_1,
		Format:         []string{fhir.JSON, "json"},
		Rest:           []r4.CapabilityStatementRest{rest},
	}
	if instantiatesUSCore(rest) {
		statement.Instantiates = []string{uscore.Server}
	}
	body, err := json.Marshal(statement)
	if err != nil {
		return nil, fmt.Errorf("capability: encoding the CapabilityStatement: %w", err)
	}
	return body, nil
}

func (s Statement) rest() (r4.CapabilityStatementRest, error) {
	cors := true
	smart := "SMART-on-FHIR"
	system := "http://terminology.hl7.org/CodeSystem/restful-security-service"
	description := "OAuth2 using SMART App Launch 2.2; a token opens the record of one patient. Scopes for a part of a type (?category=system|code) are listed in scopes_supported of .well-known/smart-configuration."
	rest := r4.CapabilityStatementRest{
		Mode: r4.RestfulCapabilityModeServer,
		Security: &r4.CapabilityStatementRestSecurity{
			Cors:        &cors,
			Service:     []r4.CodeableConcept{{Coding: []r4.Coding{{System: &system, Code: &smart}}}},
			Description: &description,
			Extension:   []r4.Extension{s.oauthExtension()},
		},
	}
	rest.Interaction = []r4.CapabilityStatementRestInteraction{{Code: r4.SystemRestfulInteractionBatch}}
	for _, typ := range compartment.Types() {
		res, offered, err := s.resourceOf(typ)
		if err != nil {
			return rest, err
		}
		if offered {
			rest.Resource = append(rest.Resource, res)
		}
	}
	return rest, nil
}

// oauthExtension is how SMART App Launch 1.0 told apps of the endpoints, and
// many still look there.
func (s Statement) oauthExtension() r4.Extension {
	return r4.Extension{
		Url: "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
		Extension: []r4.Extension{
			{Url: "authorize", ValueUri: &s.AuthorizeURL},
			{Url: "token", ValueUri: &s.TokenURL},
		},
	}
}

// resourceOf states what can be done with a type: what the guard serves and the
// upstream says it has.
func (s Statement) resourceOf(typ string) (r4.CapabilityStatementRestResource, bool, error) {
	rule := compartment.Of(typ)
	var has upstream.TypeCapability
	if s.Upstream != nil {
		has = s.Upstream.Types[typ]
	}
	read := rule.Class.Served() && (s.Upstream == nil || has.Interactions["read"])
	searched := rule.Class.Served() && rule.Searchable() && (s.Upstream == nil || has.Interactions["search-type"])
	if !read && !searched {
		return r4.CapabilityStatementRestResource{}, false, nil
	}
	var code r4.ResourceType
	if err := code.UnmarshalJSON([]byte(`"` + typ + `"`)); err != nil {
		return r4.CapabilityStatementRestResource{}, false, fmt.Errorf("capability: resource type %s: %w", typ, err)
	}
	res := r4.CapabilityStatementRestResource{Type: code}
	if read {
		res.Interaction = append(res.Interaction, r4.CapabilityStatementRestResourceInteraction{Code: r4.TypeRestfulInteractionRead})
	}
	s.addVersions(&res, has)
	s.addWrites(&res, typ, s.Upstream != nil, has)
	for _, p := range uscore.Profiles(typ) {
		if s.Upstream != nil && has.Profiles[p] {
			res.SupportedProfile = append(res.SupportedProfile, p)
		}
	}
	for _, op := range s.Operations {
		if op.Type == typ && searched { // each is made of searches of ours
			res.Operation = append(res.Operation, r4.CapabilityStatementRestResourceOperation{Name: op.Name, Definition: op.Definition})
		}
	}
	if searched {
		if err := addSearch(&res, typ, s.Upstream != nil, has); err != nil {
			return res, false, err
		}
	}
	return res, true, nil
}

// addVersions states the interactions with old versions, where the upstream says
// that it has them.
func (s Statement) addVersions(res *r4.CapabilityStatementRestResource, has upstream.TypeCapability) {
	for _, code := range []r4.TypeRestfulInteraction{r4.TypeRestfulInteractionVread, r4.TypeRestfulInteractionHistoryInstance} {
		if s.Versions && has.Interactions[code.Code()] {
			res.Interaction = append(res.Interaction, r4.CapabilityStatementRestResourceInteraction{Code: code})
		}
	}
	if s.Versions && has.Interactions["vread"] {
		policy, history := r4.ResourceVersionPolicyVersioned, true
		res.Versioning, res.ReadHistory = &policy, &history
	}
}

func addSearch(res *r4.CapabilityStatementRestResource, typ string, stated bool, has upstream.TypeCapability) error {
	res.Interaction = append(res.Interaction, r4.CapabilityStatementRestResourceInteraction{Code: r4.TypeRestfulInteractionSearchType})
	for _, d := range search.Params(typ) {
		if stated && !has.Params[d.Name] {
			continue
		}
		var kind r4.SearchParamType
		if err := kind.UnmarshalJSON([]byte(`"` + string(d.Kind) + `"`)); err != nil {
			return fmt.Errorf("capability: search parameter type %s: %w", d.Kind, err)
		}
		res.SearchParam = append(res.SearchParam, r4.CapabilityStatementRestResourceSearchParam{Name: d.Name, Type: kind})
	}
	for _, in := range search.Includes(typ) {
		if !stated || has.Includes[in] {
			res.SearchInclude = append(res.SearchInclude, in)
		}
	}
	for _, in := range search.RevIncludes(typ) {
		if !stated || has.RevIncludes[in] {
			res.SearchRevInclude = append(res.SearchRevInclude, in)
		}
	}
	return nil
}
