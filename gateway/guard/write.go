package guard

import (
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/internal/fault"
)

// Owns says whether a resource is the patient's by what it says itself, whatever
// the scopes cover.
func (w Who) Owns(r *fhir.Resource) bool { return w.whose().Member(r) == compartment.Mine }

// Accepts decides on a resource as it would be stored: it must be the patient's
// own, name no other patient, hold no other one's resource, and be within a
// scope for the interaction. It says the same whatever exists.
func (w Who) Accepts(r *fhir.Resource, i Interaction) error {
	rule := compartment.Of(r.Type())
	strangers, ok := w.whose().Strangers(r)
	switch {
	case rule.Class != compartment.Own && rule.Class != compartment.Shared:
		return fault.New(fault.Forbidden, "%s is not written by patient apps.", r.Type())
	case w.whose().Member(r) != compartment.Mine:
		return fault.New(fault.Unprocessable, "The resource must name the patient of this token, by a literal reference, as the one whom it is about.")
	case !ok || len(strangers) > 0:
		return fault.New(fault.Unprocessable, "The resource may name no other patient.")
	}
	for c := range r.Root().At("contained") {
		if !w.acceptsContained(c) {
			return fault.New(fault.Unprocessable, "A contained resource must be the patient's own by a reference of its own, or describe the health system.")
		}
	}
	return w.within(r, i)
}

// acceptsContained: what is about nobody certain could be about anybody.
func (w Who) acceptsContained(n fhir.Node) bool {
	inner, err := fhir.ParseResource(n.Raw())
	if err != nil {
		return false
	}
	class, whose := compartment.Of(inner.Type()).Class, w.whose().Member(inner)
	return class == compartment.Directory && whose == compartment.Common ||
		(class == compartment.Own || class == compartment.Shared) && whose == compartment.Mine
}

// Changes decides on a resource as it is now, of which the token may see all
// but the places in mask. What names others too is not the patient's to change.
func (w Who) Changes(r *fhir.Resource, mask []fhir.Node, i Interaction) error {
	if len(mask) > 0 {
		return fault.New(fault.Unprocessable, "This resource names other people, so it cannot be changed here.")
	}
	return w.within(r, i)
}

func (w Who) within(r *fhir.Resource, i Interaction) error {
	if !w.opens(r, Ask{Interaction: i}.Access()) {
		return fault.New(fault.Forbidden, "The scopes of this token do not cover such a %s.", r.Type())
	}
	return nil
}

// Pointing is what a reference needs to be allowed in what an app writes.
type Pointing uint8

const (
	// Never is the zero value on purpose.
	Never Pointing = iota
	// Always: it names the patient, or what belongs to nobody.
	Always
	// IfReadable: what it names may be somebody's, so that this token must be
	// able to read it: an app must not make a way to a resource by pointing to it.
	IfReadable
)

// MayPoint says what a reference needs, by the type that it names.
func (w Who) MayPoint(to fhir.Reference) Pointing {
	switch class := compartment.Of(to.Type).Class; {
	case to.Is("Patient", w.Patient), to.Where == fhir.Local && class == compartment.Directory && len(compartment.Of(to.Type).Owners) == 0:
		return Always
	case to.Where != fhir.Local, class == compartment.Closed, class == compartment.Self:
		return Never
	case to.Type == "Binary": // the way would stay when whoever led there has taken theirs away
		return Never
	}
	return IfReadable
}
