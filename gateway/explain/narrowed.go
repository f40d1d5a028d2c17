package explain

import (
	"maps"
	"net/url"
	"slices"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
)

// Narrowed notes how the plans hold a request inside the record, and what became
// of its parameters.
func (t *Trace) Narrowed(ask guard.Ask, plans []*guard.Plan) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range plans {
		t.e.Narrowing = append(t.e.Narrowing, narrowing(p))
	}
	if len(plans) == 1 && ask.Interaction == guard.Search {
		t.parameters(ask.Query, sentBy(plans[0]))
	}
}

func narrowing(p *guard.Plan) Narrowing {
	out := Narrowing{Type: known(p.Ask.Type), Class: className(p.Rule.Class), How: "search", Partial: p.Partial, CountOnly: p.CountOnly}
	if len(p.Calls) == 0 {
		out.How = "nothing"
		return out
	}
	for _, c := range p.Calls[1:] {
		out.Union = append(out.Union, c.Added)
	}
	sent := names(p.Calls[0].Query)
	switch {
	case p.Calls[0].ID != "":
		out.How = "direct"
	case p.Rule.Class == compartment.Self:
		out.By = "_id"
	case p.Rule.Class == compartment.Directory:
		out.How = "open"
	default:
		for _, name := range p.Rule.Narrow {
			if slices.Contains(sent, name) {
				out.By = name
				return out
			}
		}
		out.How, out.Anchors = "anchor", p.Rule.Anchors
	}
	return out
}

// sentBy are the names of all parameters that the calls of a plan hold.
func sentBy(p *guard.Plan) []string {
	var out []string
	for _, c := range p.Calls {
		out = append(out, names(c.Query)...)
	}
	return out
}

// names gives the parameters of a query that we printed.
func names(query string) []string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(values))
}

// parameters notes those of a search.
func (t *Trace) parameters(q search.Query, sent []string) {
	for _, p := range q.Params {
		name := p.Definition.Name
		if p.Modifier != "" {
			name += ":" + p.Modifier
		}
		became := "replaced"
		if slices.Contains(sent, name) {
			became = "sent"
		}
		t.e.Parameters = append(t.e.Parameters, Parameter{
			Name: p.Definition.Name, Kind: string(p.Definition.Kind), Modifier: p.Modifier, Values: len(p.Values), Became: became,
		})
	}
	for _, c := range []struct {
		name   string
		values int
		given  bool
	}{
		{"_include", len(q.Include), len(q.Include) > 0}, {"_revinclude", len(q.RevInclude), len(q.RevInclude) > 0},
		{"_sort", len(q.Sort), len(q.Sort) > 0}, {"_count", 1, q.Count >= 0}, {"_elements", len(q.Elements), len(q.Elements) > 0},
		{"_summary", 1, q.Summary != ""}, {"_total", 1, q.Total != ""},
	} {
		if !c.given {
			continue
		}
		became := "here"
		if slices.ContainsFunc(sent, func(n string) bool { return n == c.name || n == c.name+":iterate" }) {
			became = "sent"
		}
		t.e.Parameters = append(t.e.Parameters, Parameter{Name: c.name, Values: c.values, Became: became})
	}
	for _, name := range q.Ignored {
		t.e.Parameters = append(t.e.Parameters, Parameter{Name: knownParameter(q.Type, name), Became: "dropped"})
	}
}

func className(c compartment.Class) string {
	switch c {
	case compartment.Self:
		return "self"
	case compartment.Own:
		return "own"
	case compartment.Shared:
		return "shared"
	case compartment.Directory:
		return "directory"
	case compartment.Through:
		return "through"
	case compartment.Reached:
		return "reached"
	case compartment.Closed:
	}
	return "closed"
}
