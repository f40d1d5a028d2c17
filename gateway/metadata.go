package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// metadata serves the CapabilityStatement (R4 http, section 3.1.0.9), open to
// everybody. It is built from the tables that the guard decides with, cut down
// to what the upstream says it can do.
func (g *Gateway) metadata(w http.ResponseWriter, r *http.Request, src *source) error {
	if !isGet(r) {
		return fault.New(fault.MethodNotAllowed, "metadata can only be read.")
	}
	if err := acceptsJSON(r.Header.Values("Accept")); err != nil {
		return err
	}
	known, err := src.Upstream.Capabilities(r.Context())
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		known = nil // the upstream states nothing: the guard's tables stand alone
	case err != nil:
		return err
	}
	body, err := g.capabilityStatement(src, known)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", fhirJSON)
	header.Set("Cache-Control", "public, max-age=300")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, err = w.Write(body)
	return gone(err)
}

func (g *Gateway) capabilityStatement(src *source, known *upstream.Capabilities) ([]byte, error) {
	rest, err := g.restOf(src, known)
	if err != nil {
		return nil, err
	}
	software := r4.CapabilityStatementSoftware{Name: "Portico"}
	if g.version != "" {
		software.Version = &g.version
	}
	statement := r4.CapabilityStatement{
		Status:         r4.PublicationStatusActive,
		Date:           g.now().UTC().Format("2006-01-02"),
		Kind:           r4.CapabilityStatementKindInstance,
		Software:       &software,
		Implementation: &r4.CapabilityStatementImplementation{Description: src.Name, Url: &src.publicBase},
		FhirVersion:    r4.FHIRVersion4_0_1,
		Format:         []string{fhirJSON, "json"},
		Rest:           []r4.CapabilityStatementRest{rest},
	}
	if instantiatesUSCore(rest) {
		statement.Instantiates = []string{uscore.Server}
	}
	body, err := json.Marshal(statement)
	if err != nil {
		return nil, fmt.Errorf("gateway: encoding the CapabilityStatement: %w", err)
	}
	return body, nil
}

func (g *Gateway) restOf(src *source, known *upstream.Capabilities) (r4.CapabilityStatementRest, error) {
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
			Extension:   []r4.Extension{oauthExtension(g.oauth)},
		},
	}
	rest.Interaction = []r4.CapabilityStatementRestInteraction{{Code: r4.SystemRestfulInteractionBatch}}
	for _, typ := range compartment.Types() {
		res, offered, err := src.resourceOf(typ, known)
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
func oauthExtension(uris oauthURIs) r4.Extension {
	return r4.Extension{
		Url: "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
		Extension: []r4.Extension{
			{Url: "authorize", ValueUri: &uris.authorize},
			{Url: "token", ValueUri: &uris.token},
		},
	}
}

// resourceOf states what can be done with a type: what the guard serves and the
// upstream says it has.
func (s *source) resourceOf(typ string, known *upstream.Capabilities) (r4.CapabilityStatementRestResource, bool, error) {
	rule := compartment.Of(typ)
	var has upstream.TypeCapability
	if known != nil {
		has = known.Types[typ]
	}
	read := rule.Class.Served() && (known == nil || has.Interactions["read"])
	searched := rule.Class.Served() && rule.Searchable() && (known == nil || has.Interactions["search-type"])
	if !read && !searched {
		return r4.CapabilityStatementRestResource{}, false, nil
	}
	var code r4.ResourceType
	if err := code.UnmarshalJSON([]byte(`"` + typ + `"`)); err != nil {
		return r4.CapabilityStatementRestResource{}, false, fmt.Errorf("gateway: resource type %s: %w", typ, err)
	}
	res := r4.CapabilityStatementRestResource{Type: code}
	if read {
		res.Interaction = append(res.Interaction, r4.CapabilityStatementRestResourceInteraction{Code: r4.TypeRestfulInteractionRead})
	}
	s.addVersions(&res, has)
	s.addWrites(&res, typ, known != nil, has)
	for _, p := range uscore.Profiles(typ) {
		if known != nil && has.Profiles[p] {
			res.SupportedProfile = append(res.SupportedProfile, p)
		}
	}
	for _, op := range operations() {
		if op.typ == typ && searched { // each is made of searches of ours
			res.Operation = append(res.Operation, r4.CapabilityStatementRestResourceOperation{Name: op.name[1:], Definition: op.definition})
		}
	}
	if searched {
		if err := addSearch(&res, typ, known != nil, has); err != nil {
			return res, false, err
		}
	}
	return res, true, nil
}

// addVersions states the interactions with old versions, where the upstream says
// that it has them.
func (s *source) addVersions(res *r4.CapabilityStatementRestResource, has upstream.TypeCapability) {
	for _, code := range []r4.TypeRestfulInteraction{r4.TypeRestfulInteractionVread, r4.TypeRestfulInteractionHistoryInstance} {
		if s.Versions != nil && has.Interactions[code.Code()] {
			res.Interaction = append(res.Interaction, r4.CapabilityStatementRestResourceInteraction{Code: code})
		}
	}
	if s.Versions != nil && has.Interactions["vread"] {
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
			return fmt.Errorf("gateway: search parameter type %s: %w", d.Kind, err)
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
