package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// Patient/[id]/* is a search of the compartment over all types (R4 http, section
// 3.1.0.9.2), here as everywhere of the token's patient alone.

func isAnyType(segments []string) bool {
	return len(segments) == 3 && segments[0] == "Patient" && !notAnID(segments[1]) && (segments[2] == "*" || segments[2] == "_search")
}

func (g *Gateway) parseAnyType(x *exchange, r *http.Request, segments []string) error {
	x.event.Interaction, x.event.Type = "search-compartment", "Patient"
	x.log.SetInteraction("search-compartment")
	posted := segments[2] == "_search"
	if posted != (r.Method == http.MethodPost) || !posted && !isGet(r) {
		return fault.New(fault.MethodNotAllowed, "A search over all types is GET Patient/[id]/* or POST Patient/[id]/_search.")
	}
	if segments[1] != x.who.Patient {
		return fault.New(fault.NotFound, "Not found.")
	}
	x.several, x.place = true, "Patient/"+x.who.Patient+"/*"
	var body []search.Pair
	if posted {
		var err error
		if body, err = formBody(r); err != nil {
			return err
		}
	}
	pairs, _, err := g.asked(x, r, body)
	if err != nil {
		return err
	}
	types, pairs, err := x.anyTypeOptions(pairs, lenient(r))
	if err != nil {
		return err
	}
	return g.askEach(x, types, pairs)
}

// anyTypeOptions takes _type out, and whatever only some types have.
func (x *exchange) anyTypeOptions(pairs []search.Pair, lenient bool) (types []string, rest []search.Pair, err error) {
	types = ownedTypes()
	x.query = encodePairs(pairs)
	var names []string
	for _, p := range pairs {
		base, _, _ := strings.Cut(p.Name, ":")
		switch {
		case p.Name == "_type" && slices.Contains(names, "_type"):
			return nil, nil, fault.New(fault.Invalid, "_type may be given once only.")
		case p.Name == "_type":
			listed, err := listedTypes(p.Value)
			if err != nil {
				return nil, nil, err
			}
			types = slices.DeleteFunc(types, func(typ string) bool { return !slices.Contains(listed, typ) })
		case base == "_sort" || base == "_include" || base == "_revinclude":
			return nil, nil, fault.New(fault.Invalid, "A search over all types takes no %s.", base)
		case strings.HasPrefix(p.Name, "_"):
			rest = append(rest, p)
		case lenient && !slices.Contains(x.ignored, p.Name):
			x.ignored = append(x.ignored, p.Name)
		case !lenient:
			return nil, nil, fault.New(fault.Invalid, "A search over all types takes the parameters that all types have, such as _lastUpdated, and _type and _count.")
		}
		names = append(names, p.Name)
	}
	return types, rest, nil
}

// askEach makes the asks, one a type.
func (g *Gateway) askEach(x *exchange, types []string, pairs []search.Pair) error {
	var names []string
	// Patient stands for what is the same for all.
	shape, err := search.Parse("Patient", pairs, search.Options{Strict: true, MaxCount: x.src.PageSize, Base: x.src.public})
	if err != nil {
		return searchFault(err)
	}
	for _, p := range shape.Params {
		names = append(names, p.Definition.Name)
	}
	x.event.Query = strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), ",")
	if x.page = shape.Count; x.page < 0 {
		x.page = x.src.PageSize
	}
	x.ask = guard.Ask{Interaction: guard.Search, Type: "Patient", Query: search.Query{Type: "Patient", Count: shape.Count, Summary: shape.Summary, Total: shape.Total}}
	for _, typ := range types {
		q, err := search.Parse(typ, pairs, search.Options{Strict: true, MaxCount: x.src.PageSize, Base: x.src.public})
		if err != nil {
			return searchFault(err)
		}
		x.asks = append(x.asks, guard.Ask{Interaction: guard.Search, Type: typ, Query: q})
	}
	return x.setView(shape)
}
