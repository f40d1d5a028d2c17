package main

import (
	"errors"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir/inbound"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/smart/scope"
)

// writable says why apps may never write a resource type.
func writable(typ string) error {
	if !search.IsResourceType(typ) {
		return errors.New("FHIR R4 has no such resource type")
	}
	if reason, ok := inbound.Writable(typ); !ok {
		return errors.New(reason)
	}
	return nil
}

// policy is what apps may write at a source.
func policy(writes []config.Write) map[string][]guard.Interaction {
	out := map[string][]guard.Interaction{}
	for _, w := range writes {
		for _, i := range w.Interactions {
			out[w.Type] = append(out[w.Type], guard.Interaction(i))
		}
	}
	return out
}

// letters are the scopes that a policy makes grantable.
func letters(writes []config.Write) map[string]scope.Access {
	out := map[string]scope.Access{}
	for _, w := range writes {
		for _, i := range w.Interactions {
			switch guard.Interaction(i) {
			case guard.Create:
				out[w.Type] |= scope.Create
			case guard.Update, guard.Patch:
				out[w.Type] |= scope.Update
			case guard.Delete:
				out[w.Type] |= scope.Delete
			default:
			}
		}
	}
	return out
}

// demoWrites is what apps may write in the demo: what people tell of themselves,
// and a report from elsewhere.
func demoWrites() []config.Write {
	all := config.WriteInteractions()
	return []config.Write{
		{Type: "Observation", Interactions: all},
		{Type: "QuestionnaireResponse", Interactions: all},
		{Type: "DocumentReference", Interactions: all},
		{Type: "DiagnosticReport", Interactions: []string{"create"}},
		{Type: "Communication", Interactions: []string{"create"}},
		{Type: "Goal", Interactions: all},
		{Type: "Appointment", Interactions: []string{"create"}},
	}
}
