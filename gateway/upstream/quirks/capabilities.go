package quirks

import (
	"context"
	"maps"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
)

// Capabilities implements upstream.Reader: what can be asked of this Reader,
// which is what the server says it has and what is done here in its place.
func (r *Reader) Capabilities(ctx context.Context) (*upstream.Capabilities, error) {
	if r.profile.Metadata == profiles.Absent {
		return r.supposed(), nil
	}
	known, err := r.up.Capabilities(ctx)
	if err != nil || r.plain {
		return known, err
	}
	out := &upstream.Capabilities{FHIRVersion: known.FHIRVersion, Types: map[string]upstream.TypeCapability{}}
	for typ, t := range known.Types {
		if search.IsResourceType(typ) {
			out.Types[typ] = r.supplement(typ, t, known)
		}
	}
	return out, nil
}

// supplement adds what is done here to what the server says of a type.
func (r *Reader) supplement(typ string, t upstream.TypeCapability, known *upstream.Capabilities) upstream.TypeCapability {
	rule := r.profile.Of(typ)
	t.Interactions = maps.Clone(t.Interactions)
	switch {
	case rule.How == profiles.ByNone:
		delete(t.Interactions, "search-type")
		return t
	case rule.How == profiles.ByList:
		t.Interactions["search-type"] = true
	case !t.Interactions["search-type"]:
		return t
	}
	t.Params = set(t.Params)
	if len(t.Params) > 0 || rule.How == profiles.ByList {
		for _, d := range search.Params(typ) {
			// What narrows to a person must be asked of the server: what is only
			// filtered here would read everybody's.
			if rule.How == profiles.ByList || !d.Compartment || rule.Rename[d.Name] != "" {
				t.Params[d.Name] = true
			}
		}
	}
	t.Includes, t.RevIncludes = set(t.Includes), set(t.RevIncludes)
	for _, in := range search.Includes(typ) {
		t.Includes[in] = true
	}
	if p := known.Types["Provenance"]; r.profile.Of("Provenance").How == profiles.ByList || p.Interactions["search-type"] && p.Params["target"] {
		t.RevIncludes["Provenance:target"] = true
	}
	return t
}

func set(m map[string]bool) map[string]bool {
	if m == nil {
		return map[string]bool{}
	}
	return maps.Clone(m)
}

// supposed is what a server without a statement is taken to have: all that can
// be found out by asking it.
func (r *Reader) supposed() *upstream.Capabilities {
	out := &upstream.Capabilities{FHIRVersion: "4.0.1", Types: map[string]upstream.TypeCapability{}}
	types := r.profile.Offers
	if len(types) == 0 {
		types = search.ResourceTypes()
	}
	for _, typ := range types {
		t := upstream.TypeCapability{Interactions: map[string]bool{"read": true}, Params: map[string]bool{}, Includes: map[string]bool{}, RevIncludes: map[string]bool{}}
		if r.profile.Of(typ).How != profiles.ByNone {
			t.Interactions["search-type"] = true
			for _, d := range search.Params(typ) {
				t.Params[d.Name] = true
			}
			for _, in := range search.Includes(typ) {
				t.Includes[in] = true
			}
			for _, in := range search.RevIncludes(typ) {
				t.RevIncludes[in] = true
			}
		}
		out.Types[typ] = t
	}
	return out
}
