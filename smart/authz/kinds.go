package authz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/smart/scope"
)

// Kind is a resource type as people and granular scopes divide records. The
// order of Options.Kinds is that of the consent page.
type Kind struct {
	Type string
	// Minor kinds are not shown one by one when an app asks for everything; one
	// line stands for all of them.
	Minor bool
	// Parts are the granular constraints that scopes_supported lists. A granular
	// scope for the type is granted if each of its parameters is among theirs.
	Parts []Part
	// Choosable: people may share some of the Parts instead of the whole type.
	Choosable bool
}

// Part is one granular constraint on a type: param=value.
type Part struct{ Param, Value string }

func checkKinds(kinds []Kind) error {
	for i, k := range kinds {
		if slices.ContainsFunc(kinds[:i], func(o Kind) bool { return o.Type == k.Type }) {
			return fmt.Errorf("authz: the kind %s stands twice", k.Type)
		}
		for _, p := range k.Parts {
			if _, err := scope.ParseResource(partText(scope.Patient, k.Type, scope.ReadSearch, p)); err != nil || !isCode(p.Value) {
				return fmt.Errorf("authz: %s?%s=%s is not a part of a type", k.Type, p.Param, p.Value)
			}
		}
	}
	return nil
}

func (s *Server) kind(typ string) Kind {
	i := slices.IndexFunc(s.o.Kinds, func(k Kind) bool { return k.Type == typ })
	if i < 0 {
		return Kind{Type: typ}
	}
	return s.o.Kinds[i]
}

// grantablePart tells whether a granular scope may be granted: for the
// parameters that are listed for its type, since those are enforced, and with
// values that say one thing. Any code may stand there; it is shown to the
// person as it is.
func (s *Server) grantablePart(r scope.Resource) bool {
	kind := s.kind(r.Type)
	for _, p := range r.Filter {
		listed := slices.ContainsFunc(kind.Parts, func(part Part) bool { return part.Param == p.Name })
		if !listed || slices.ContainsFunc(strings.Split(p.Value, ","), func(v string) bool { return !isCode(v) }) {
			return false
		}
	}
	return true
}

// isCode tells whether a value is system|code without anything escaped.
func isCode(value string) bool {
	system, code, ok := strings.Cut(value, "|")
	return ok && system != "" && code != "" && !strings.ContainsAny(code, `|\,`) && !strings.ContainsAny(system, `\,`)
}

func partText(l scope.Level, typ string, a scope.Access, p Part) string {
	return string(l) + "/" + typ + "." + a.String() + "?" + p.Param + "=" + p.Value
}

// part gives the granular scope for a part of what r opens, in v2 syntax since
// v1 has none.
func part(r scope.Resource, p Part) (scope.Resource, bool) {
	out, err := scope.ParseResource(partText(r.Level, r.Type, r.Access, p))
	return out, err == nil
}

// ofType gives what a wildcard opens of one type, in the wildcard's own syntax.
func ofType(wildcard scope.Resource, typ string) (scope.Resource, bool) {
	text := strings.Replace(wildcard.String(), "/"+scope.AnyType+".", "/"+typ+".", 1)
	out, err := scope.ParseResource(text)
	return out, err == nil && out.Type == typ
}

// granularSupported lists the granular scopes for scopes_supported.
func (s *Server) granularSupported() []string {
	var out []string
	for _, k := range s.o.Kinds {
		for _, p := range k.Parts {
			r, err := scope.ParseResource(partText(scope.Patient, k.Type, scope.ReadSearch, p))
			if err != nil { // checkKinds
				continue
			}
			if r, ok := r.Narrow(s.o.Access); ok {
				out = append(out, r.String())
			}
		}
	}
	return out
}
