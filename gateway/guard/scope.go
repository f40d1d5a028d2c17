package guard

import (
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/smart/scope"
)

// Coverage is how much of a type the scopes open.
type Coverage uint8

const (
	// Nothing is the zero value on purpose.
	Nothing Coverage = iota
	// Part: each resource has to satisfy one of the granular scopes.
	Part
	// Whole: a scope without parameters is among them. Scopes are a union, so a
	// wide one beside a narrow one is wide (SMART App Launch 2.2, "Finer-grained
	// resource constraints using search parameters"). That none is granted
	// beside narrow ones unasked is the authorization server's business.
	Whole
)

// Covers says how much of a type the scopes open for an access.
func (w Who) Covers(typ string, a scope.Access) Coverage {
	covered := Nothing
	for _, s := range w.covering(typ, a) {
		if len(s.Filter) == 0 {
			return Whole
		}
		covered = Part
	}
	return covered
}

// covering gives the scopes for an access to a type. Patient and user level
// reach the same here, since every token is bound to one patient; system level
// reaches nothing.
func (w Who) covering(typ string, a scope.Access) []scope.Resource {
	return append(w.Scopes.Covering(scope.Patient, typ, a), w.Scopes.Covering(scope.User, typ, a)...)
}

// opens says whether a scope for one of the accesses covers this very resource.
func (w Who) opens(r *fhir.Resource, accesses ...scope.Access) bool {
	for _, a := range accesses {
		for _, s := range w.covering(r.Type(), a) {
			if len(s.Filter) == 0 || w.Within(s, r) {
				return true
			}
		}
	}
	return false
}

// Within says whether a resource satisfies every parameter of a granular scope,
// by our own matcher: what the upstream was asked and what it says do not
// matter. A parameter that is none of the type's, that does not filter (_count,
// _include), or that cannot be decided on this resource opens nothing.
func (w Who) Within(s scope.Resource, r *fhir.Resource) bool {
	pairs := make([]search.Pair, 0, len(s.Filter))
	for _, p := range s.Filter {
		pairs = append(pairs, search.Pair{Name: p.Name, Value: p.Value})
	}
	q, err := search.Parse(r.Type(), pairs, search.Options{Strict: true, Base: w.Base})
	if err != nil || len(q.Params) != len(s.Filter) {
		return false
	}
	ok, err := (search.Matcher{Base: w.Base, Now: w.Now}).Match(q, r)
	return ok && err == nil
}
