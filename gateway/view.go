package gateway

import (
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/subset"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/httpfile"
)

// How an answer looks: _format, _pretty, _elements and _summary (R4 http,
// section 3.1.0.1.10). All of it is done here, after the check; none of it is
// handed to the upstream, which could leave out what tells the owner.

// common takes the parameters out that every interaction has. what is named in
// errors.
func (x *exchange) common(pairs []search.Pair, what string) ([]search.Pair, error) {
	seen := map[string]bool{}
	var elements []string
	var summary string
	rest := pairs[:0:0]
	for _, p := range pairs {
		if seen[p.Name] {
			return nil, fault.New(fault.Invalid, "%s takes each parameter once.", what)
		}
		seen[p.Name] = true
		switch p.Name {
		case "_format":
			if err := acceptsFormat(p.Value); err != nil {
				return nil, err
			}
		case "_pretty", "_elements", "_summary":
			q, err := search.Parse("Patient", []search.Pair{p}, search.Options{Strict: true}) // the same for every type
			if err != nil {
				return nil, searchFault(err)
			}
			x.pretty = x.pretty || p.Name == "_pretty" && p.Value == "true"
			elements, summary = append(elements, q.Elements...), summary+q.Summary
		default:
			rest = append(rest, p)
		}
	}
	return rest, x.setView(search.Query{Elements: elements, Summary: summary})
}

// parseReadOptions reads what may stand beside a read.
func (x *exchange) parseReadOptions(r *http.Request) error {
	pairs, err := search.ParsePairs(r.URL.RawQuery)
	if err != nil {
		return searchFault(err)
	}
	rest, err := x.common(pairs, "A read")
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return fault.New(fault.Invalid, "A read takes no parameters but _elements, _summary, _format and _pretty.")
	case x.view.Summary == "count":
		return fault.New(fault.Invalid, "_summary=count is for searches.")
	}
	x.conditions = httpfile.ConditionsOf(r)
	return nil
}

// setView takes over what of each resource is wanted.
func (x *exchange) setView(q search.Query) error {
	if len(q.Elements) > 0 && q.Summary != "" && q.Summary != "false" {
		return fault.New(fault.Invalid, "_elements and _summary cannot be used together.")
	}
	if q.Summary == "text" && len(q.Include)+len(q.RevInclude) > 0 {
		return fault.New(fault.Invalid, "_summary=text cannot be used with _include or _revinclude.")
	}
	x.view = subset.View{Elements: q.Elements, Summary: q.Summary}
	return nil
}

// viewOf is what of a resource is wanted: _elements names elements of the
// matches.
func (x *exchange) viewOf(match bool) subset.View {
	if !match {
		return subset.View{Summary: x.view.Summary}
	}
	return x.view
}

// prettily notes _pretty of a search, which its parser checks and drops.
func (x *exchange) prettily(pairs []search.Pair) {
	x.pretty = x.pretty || slices.Contains(pairs, search.Pair{Name: "_pretty", Value: "true"})
}
