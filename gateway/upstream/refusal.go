package upstream

import (
	"errors"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
)

// Refusal gives the fault that an OperationOutcome in the place of results means,
// nil when it only warns. Some servers answer 200 with a searchset in which
// nothing but that stands, where others answer 400 (R4 http, section 3.1.0.1.7):
// taken for no results it would hide that nobody looked for any.
func Refusal(outcome *fhir.Resource) error {
	if outcome == nil || outcome.Type() != "OperationOutcome" {
		return nil
	}
	for issue := range outcome.Root().Get("issue").Items() {
		if s := issue.Get("severity").Text(); s == "error" || s == "fatal" {
			return refusal(issue.Get("code").Text())
		}
	}
	return nil
}

var errInside = errors.New("upstream: refused by an OperationOutcome with status 200")

// refusal turns an issue type (R4 value set issue-type) into a fault. Whatever is
// not about rights, size or the moment is about the question.
func refusal(code string) error {
	switch code {
	case "too-costly":
		return fault.Wrap(errors.Join(errInside, ErrCostly), fault.Unsupported, "The record system finds too much; narrow the search.")
	case "security", "login", "unknown", "expired", "forbidden", "suppressed", "not-supported":
		return fault.Wrap(errInside, fault.Unsupported, "The record system does not offer this.")
	case "not-found", "deleted":
		return fault.Wrap(errInside, fault.NotFound, "Not found.")
	case "transient", "lock-error", "no-store", "exception", "timeout", "incomplete":
		return fault.Wrap(errInside, fault.Unavailable, "The record system is not available.")
	case "throttled":
		return fault.Wrap(errInside, fault.TooMany, "The record system asks for fewer requests.")
	}
	return fault.Wrap(errInside, fault.Invalid, "The record system does not understand this search.")
}
