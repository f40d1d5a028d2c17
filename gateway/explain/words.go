package explain

import (
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/smart/scope"
)

// contextScopes are the identity and context scopes that may be shown.
var contextScopes = []string{"openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access"}

// showScope prints a scope. The values of a granular one are the app's words; the
// categories of US Core are nobody's data and are shown.
func showScope(s scope.Resource) string {
	typ := s.Type
	if typ != scope.AnyType {
		typ = known(typ)
	}
	out := string(s.Level) + "/" + typ + "." + s.Access.String()
	for i, p := range s.Filter {
		sep, value := "&", "…"
		if i == 0 {
			sep = "?"
		}
		if p.Name == "category" && slices.Contains(uscore.Categories(s.Type), p.Value) {
			value = p.Value
		}
		out += sep + knownParameter(s.Type, p.Name) + "=" + value
	}
	return out
}

// known lets the name of a resource type pass, whoever wrote it.
func known(typ string) string {
	if typ == "" || search.IsResourceType(typ) {
		return typ
	}
	return "?"
}

// controls are the parameters that are no filters.
var controls = []string{"_count", "_sort", "_include", "_revinclude", "_elements", "_summary", "_total", "_format", "_pretty", "_page", "_type", "_since"}

// knownParameter lets a parameter's name pass that FHIR defines for the type, or
// for any when it is a control.
func knownParameter(typ, name string) string {
	name, _, _ = strings.Cut(name, ":")
	if _, is := search.Lookup(typ, name); is || slices.Contains(controls, name) {
		return name
	}
	return "?"
}
