package authz

import (
	"context"

	"github.com/portico-fhir/portico/smart/scope"
)

// count fills in what is known of how much each line opens. A wildcard's own
// line is not counted: nobody knows what comes later.
func (s *Server) count(ctx context.Context, st step, views []ScopeView) {
	if s.o.Counts == nil {
		return
	}
	var of []scope.Resource
	for _, text := range countable(views) {
		if r, err := scope.ParseResource(text); err == nil && r.Type != scope.AnyType {
			of = append(of, r)
		}
	}
	counts := s.o.Counts.Counts(ctx, st.source.ID, st.patient.ID, of)
	fill := func(text string, into *Count) {
		if n, ok := counts[text]; ok {
			*into = Count{Known: true, N: n}
		}
	}
	for i := range views {
		fill(views[i].Value, &views[i].Count)
		for j := range views[i].Parts {
			fill(views[i].Parts[j].Value, &views[i].Parts[j].Count)
		}
	}
}

func countable(views []ScopeView) []string {
	var out []string
	for _, v := range views {
		out = append(out, v.Value)
		for _, p := range v.Parts {
			out = append(out, p.Value)
		}
	}
	return out
}
