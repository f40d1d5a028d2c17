package capability

import (
	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// addWrites states which changes apps may make to a type: those of the source's
// policy that the upstream says it can do. A patch is applied here and sent as
// an update.
func (s Statement) addWrites(res *r4.CapabilityStatementRestResource, typ string, stated bool, has upstream.TypeCapability) {
	for _, w := range []struct {
		interaction guard.Interaction
		needs       string
		code        r4.TypeRestfulInteraction
	}{
		{guard.Create, "create", r4.TypeRestfulInteractionCreate},
		{guard.Update, "update", r4.TypeRestfulInteractionUpdate},
		{guard.Patch, "update", r4.TypeRestfulInteractionPatch},
		{guard.Delete, "delete", r4.TypeRestfulInteractionDelete},
	} {
		if !s.Allows(typ, w.interaction) || stated && !has.Interactions[w.needs] {
			continue
		}
		res.Interaction = append(res.Interaction, r4.CapabilityStatementRestResourceInteraction{Code: w.code})
		switch w.interaction {
		case guard.Create:
			conditional := true
			res.ConditionalCreate = &conditional
		case guard.Update, guard.Patch:
			never, versioned := false, r4.ResourceVersionPolicyVersionedUpdate
			res.UpdateCreate, res.ConditionalUpdate, res.Versioning = &never, &never, &versioned
		case guard.Delete:
			single := r4.ConditionalDeleteStatusNotSupported
			res.ConditionalDelete = &single
		default:
		}
	}
}
