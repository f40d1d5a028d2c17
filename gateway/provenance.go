package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
	"net/http"
)

// writeProvenance tells the EHR who made a change, where it takes that. The
// change is made and stands, whatever becomes of this; one that fails has an
// event of its own in the audit.
func (g *Gateway) writeProvenance(x *exchange, c *write) {
	known, err := x.up.Capabilities(x.ctx)
	if err != nil || known == nil || !known.Types["Provenance"].Interactions["create"] {
		return
	}
	body, err := x.provenance(c, g.publicURL, g.now())
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), storeWait)
		defer cancel()
		err = x.trace.Made("create", "Provenance", func() error {
			_, err := x.src.Writes.Create(ctx, "Provenance", body)
			return err //nolint:wrapcheck // wrapped below
		})
		g.changed(x)
	}
	if err == nil {
		return
	}
	x.log.Fail(fmt.Errorf("gateway: the Provenance of a change: %w", err))
	failed := *x
	failed.event.Interaction, failed.event.Type, failed.event.ResourceID = "provenance", "Provenance", ""
	failed.event.Status = http.StatusBadGateway
	if err := g.record(&failed, audit.Failed); err != nil {
		x.log.Fail(err) // the outcome of the change is recorded next, or not at all
	}
}

// provenance says that a person made a change with an app, in the patient's name
// when it was somebody else (R4 provenance, section 6.3).
func (x *exchange) provenance(c *write, publicURL string, now time.Time) ([]byte, error) {
	target := x.ask.Type + "/" + c.done.ID
	version := versionOf(c.done.ETag)
	if x.ask.Interaction == guard.Delete {
		version = c.ifMatch // the last one that says something
	}
	if version != "" {
		target += "/_history/" + version
	}
	writer := x.writer()
	person := r4.ProvenanceAgent{Type: coded("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "author")}
	who := writer.Person.Type + "/" + writer.Person.ID
	person.Who = r4.Reference{Reference: &who}
	if !writer.Person.Is("Patient", x.who.Patient) {
		patient := "Patient/" + x.who.Patient
		person.OnBehalfOf = &r4.Reference{Reference: &patient}
	}
	device, system, client := "Device", publicURL+"/oauth/clients", x.grant.Client
	app := r4.ProvenanceAgent{
		Type: coded("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "assembler"),
		Who:  r4.Reference{Type: &device, Identifier: &r4.Identifier{System: &system, Value: &client}},
	}
	activity := map[guard.Interaction]string{guard.Create: "CREATE", guard.Update: "UPDATE", guard.Patch: "UPDATE", guard.Delete: "DELETE"}[x.ask.Interaction]
	body, err := json.Marshal(r4.Provenance{
		Target: []r4.Reference{{Reference: &target}}, Recorded: now.UTC().Format(time.RFC3339),
		Activity: coded("http://terminology.hl7.org/CodeSystem/v3-DataOperation", activity),
		Agent:    []r4.ProvenanceAgent{person, app},
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "")
	}
	return body, nil
}

func coded(system, code string) *r4.CodeableConcept {
	return &r4.CodeableConcept{Coding: []r4.Coding{{System: &system, Code: &code}}}
}
