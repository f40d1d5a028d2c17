package gateway

import (
	"slices"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

// parseEverything understands Patient/[id]/$everything and Patient/$everything,
// which is the patient of the token (R4 Patient, operation everything): a search
// of each type that can belong to a patient, with where each result comes from,
// and what these refer to in the directory of the health system. Without _count it is one streamed answer.
func (g *Gateway) parseEverything(x *exchange, pairs []search.Pair) error {
	x.several = true
	x.ask = guard.Ask{Interaction: guard.Search, Type: "Patient", Query: search.Query{Type: "Patient", Count: -1, Summary: x.view.Summary}}
	types := ownedTypes()
	var listed []string
	var since []search.Pair
	var start, end string
	for _, p := range pairs {
		switch p.Name {
		case "_type":
			var err error
			if listed, err = listedTypes(p.Value); err != nil {
				return err
			}
			types = slices.DeleteFunc(types, func(typ string) bool { return !slices.Contains(listed, typ) })
		case "_since":
			if _, err := instant(p.Value); err != nil {
				return err
			}
			since = []search.Pair{{Name: "_lastUpdated", Value: "ge" + p.Value}}
		case "start":
			start = p.Value
		case "end":
			end = p.Value
		case "_count":
			n, ok := asInt(p.Value, 0, x.src.PageSize)
			if !ok {
				return fault.New(fault.Invalid, "_count takes a number, 0 or more.")
			}
			if x.page, x.ask.Query.Count = n, n; n == 0 {
				x.ask.Query.Summary = "count"
			}
		default:
			return fault.New(fault.Invalid, "$everything takes start, end, _since, _type and _count.")
		}
	}
	for _, typ := range types {
		q, err := search.Parse(typ, since, search.Options{Strict: true})
		if err != nil {
			return searchFault(err)
		}
		q.Summary = x.ask.Query.Summary
		if typ != "Patient" && typ != "Provenance" && (listed == nil || slices.Contains(listed, "Provenance")) && x.who.Covers("Provenance", scope.Search) != guard.Nothing {
			// No parameter finds the provenance of a patient's resources.
			q.RevInclude = []search.Include{{Source: "Provenance", Param: "target"}}
		}
		x.asks = append(x.asks, guard.Ask{Interaction: guard.Search, Type: typ, Query: q})
	}
	x.refers = newReferrals(x, listed)
	return x.between(start, end)
}
