package gateway

import (
	"errors"
	"slices"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// Labelled resources are withheld by the guard. What is here says that something
// was, where the health system wants it said: without which and how many, and
// only of what is the patient's own and the token's scopes cover.

const suppressedText = "Something was withheld here because the health system has marked it as sensitive. The health system can tell more."

// errSuppressed is in the fault of a read that found what may only be told of.
var errSuppressed = errors.New("gateway: withheld by its label")

// noteLabel notes that something was withheld. In a search it is told only where the
// whole of a type, or a category of it, was asked for: that something withheld
// has this very code, or was so on that very day, is what the label is to hide.
func (x *exchange) noteLabel(one item, v guard.Verdict) {
	if !v.Tell || x.depth > 0 {
		return
	}
	ask := one.plan.Ask
	switch ask.Interaction {
	case guard.Read:
		x.told = true
	case guard.Search:
		for _, p := range ask.Query.Params {
			name := p.Definition.Name
			if name != "category" && !slices.Contains(compartment.Of(ask.Type).Narrow, name) || p.Modifier != "" {
				return
			}
		}
		x.told = true
	default:
	}
}

// suppressed is what a read gives that found nothing it may give.
func (x *exchange) suppressed() error {
	if x.told {
		return fault.Wrap(errSuppressed, fault.NotFound, suppressedText)
	}
	return fault.New(fault.NotFound, "Not found.")
}

func suppressedOutcome() ([]byte, error) {
	return outcome(r4.IssueSeverityInformation, r4.IssueTypeSuppressed, suppressedText)
}
