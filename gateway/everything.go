package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// $everything (R4 Patient, operation everything) is done by a search of each
// type that can belong to a patient, one after the other, in one streamed
// answer. Upstreams differ too much in what theirs gives, and what it gives
// would have to be judged in the same way.

func isEverything(segments []string) bool {
	return segments[0] == "Patient" && (len(segments) == 2 || len(segments) == 3) && segments[len(segments)-1] == "$everything"
}

// parseEverything understands Patient/{id}/$everything and Patient/$everything,
// which is the patient of the token.
func (g *Gateway) parseEverything(x *exchange, r *http.Request, segments []string) error {
	x.event.Interaction, x.event.Type = "$everything", "Patient"
	x.log.SetInteraction("$everything")
	if !isGet(r) {
		return fault.New(fault.MethodNotAllowed, "$everything is available by GET.")
	}
	if len(segments) == 3 && segments[1] != x.who.Patient {
		return fault.New(fault.NotFound, "Not found.")
	}
	pairs, err := search.ParsePairs(r.URL.RawQuery)
	if err != nil {
		return searchFault(err)
	}
	types, since, err := everythingOptions(pairs)
	if err != nil {
		return err
	}
	x.several, x.place = true, "Patient/"+x.who.Patient+"/$everything"
	x.ask = guard.Ask{Interaction: guard.Search, Type: "Patient", Query: search.Query{Type: "Patient", Count: -1}}
	for _, typ := range types {
		q, err := search.Parse(typ, since, search.Options{Strict: true})
		if err != nil {
			return searchFault(err)
		}
		x.asks = append(x.asks, guard.Ask{Interaction: guard.Search, Type: typ, Query: q})
	}
	return nil
}

// everythingOptions reads _type and _since; _count would ask for pages, and the
// one answer streams instead.
func everythingOptions(pairs []search.Pair) (types []string, since []search.Pair, err error) {
	types = ownedTypes()
	seen := map[string]bool{}
	for _, p := range pairs {
		if seen[p.Name] {
			return nil, nil, fault.New(fault.Invalid, "A parameter of $everything may be given once only.")
		}
		seen[p.Name] = true
		switch p.Name {
		case "_type":
			if types, err = wantedTypes(types, p.Value); err != nil {
				return nil, nil, err
			}
		case "_since":
			since = []search.Pair{{Name: "_lastUpdated", Value: "ge" + p.Value}}
		case "_format":
			if err := acceptsFormat(p.Value); err != nil {
				return nil, nil, err
			}
		case "_count", "_pretty":
		default:
			return nil, nil, fault.New(fault.Invalid, "$everything takes _type, _since, _count and _format here.")
		}
	}
	return types, since, nil
}

func wantedTypes(of []string, list string) ([]string, error) {
	wanted := strings.Split(list, ",")
	for _, w := range wanted {
		if !search.IsResourceType(w) {
			return nil, fault.New(fault.Invalid, "_type must list resource types of R4.")
		}
	}
	return slices.DeleteFunc(of, func(typ string) bool { return !slices.Contains(wanted, typ) }), nil
}

// ownedTypes are those of which the patient's own can be found by a search,
// Patient first.
func ownedTypes() []string {
	out := []string{"Patient"}
	for _, typ := range compartment.Types() {
		rule := compartment.Of(typ)
		if typ != "Patient" && rule.Class != compartment.Directory && len(rule.Narrow) > 0 {
			out = append(out, typ)
		}
	}
	return out
}

// offers says whether the upstream has a type at all; one that states nothing
// may have every type.
func offers(known *upstream.Capabilities, typ string) bool {
	return known == nil || len(known.Types) == 0 || known.Types[typ].Interactions["search-type"]
}
