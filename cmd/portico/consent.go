package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/scope"
)

// shownKinds are the kinds that the consent page shows one by one when an app
// asks for everything: what most records hold. One line stands for the others.
const shownKinds = `Patient RelatedPerson
	Observation DiagnosticReport ImagingStudy Specimen
	MedicationRequest MedicationStatement MedicationDispense MedicationAdministration Medication Immunization
	Condition AllergyIntolerance FamilyMemberHistory
	Appointment Encounter
	Procedure CarePlan CareTeam Goal ServiceRequest Device
	DocumentReference Binary Communication QuestionnaireResponse
	Coverage Claim ExplanationOfBenefit Invoice
	Practitioner PractitionerRole Organization Location
	Provenance`

// kinds divides records for the consent page and for granular scopes: every
// type that is served, those of shownKinds first and in that order.
func kinds() []authz.Kind {
	var out []authz.Kind
	for _, typ := range strings.Fields(shownKinds) {
		kind := authz.Kind{Type: typ, Choosable: typ == "Condition" || typ == "Observation"}
		for _, code := range uscore.Categories(typ) {
			kind.Parts = append(kind.Parts, authz.Part{Param: "category", Value: code})
		}
		out = append(out, kind)
	}
	for _, typ := range compartment.Types() {
		shown := slices.ContainsFunc(out, func(k authz.Kind) bool { return k.Type == typ })
		if !shown && compartment.Of(typ).Class.Served() {
			out = append(out, authz.Kind{Type: typ, Minor: true})
		}
	}
	return out
}

// countWait is how long the consent page may wait to say how much there is.
const countWait = 1500 * time.Millisecond

// counts is authz.Counter over the data path, which is put together after the
// authorization server.
type counts struct{ data *gateway.Gateway }

var _ authz.Counter = (*counts)(nil)

// Counts implements authz.Counter.
func (c *counts) Counts(ctx context.Context, source, patient string, of []scope.Resource) map[string]int {
	if c.data == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countWait)
	defer cancel()
	return c.data.Counts(ctx, source, patient, of)
}
