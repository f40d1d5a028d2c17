package authz

import (
	"maps"
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
)

// grantable gives what of the scopes asked for may be granted. Others are left
// out, as RFC 6749 §3.3 allows; the token response says what was granted.
func (s *Server) grantable(asked string, app client.Client, src Source) (scope.Set, error) {
	words, err := scope.Words(asked)
	if err != nil {
		return scope.Set{}, &Error{Code: invalidScope, Description: "scope has characters that no scope has.", Err: err}
	}
	allowed, err := scope.Parse(app.Scopes)
	if err != nil {
		return scope.Set{}, &Error{Code: serverError, Description: "The app is not registered properly.", Status: http.StatusInternalServerError, Err: err}
	}
	var out scope.Set
	for _, w := range words {
		one, err := scope.Parse(w)
		if err != nil {
			continue // not a scope of SMART App Launch 2.2
		}
		for _, name := range one.Others {
			if grantableName(name) && (app.Scopes == "" || allowed.Has(name)) {
				out.Others = append(out.Others, name)
			}
		}
		for _, r := range s.grantableResources(one.Resources, src) {
			if app.Scopes != "" && !allowed.Includes(r) {
				continue
			}
			if !slices.ContainsFunc(out.Resources, func(have scope.Resource) bool { return have.String() == r.String() }) {
				out.Resources = append(out.Resources, r)
			}
		}
	}
	if onlyLifetime(out) {
		return scope.Set{}, refuse(invalidScope, "None of the scopes can be granted.")
	}
	return out, nil
}

// grantableName lists the identity and context scopes that do something here.
// Of these, launchScopes leaves out what needs a launch from the EHR.
func grantableName(name string) bool {
	switch name {
	case scope.OpenID, scope.FHIRUser, scope.Profile, scope.LaunchPatient, scope.Launch, scope.LaunchEncounter, scope.OnlineAccess, scope.OfflineAccess:
		return true
	}
	return false
}

// grantableResources narrows to what a patient app may have at a source.
// Granular scopes are granted as they are asked for, where their parameters are
// enforced.
func (s *Server) grantableResources(asked []scope.Resource, src Source) []scope.Resource {
	var out []scope.Resource
	for _, r := range asked {
		// User level reaches no further than the one patient of the token.
		if (r.Level != scope.Patient && r.Level != scope.User) || !s.grantablePart(r) {
			continue
		}
		if r.Type != scope.AnyType && !s.o.KnownType(r.Type) {
			continue
		}
		if one, ok := r.Narrow(s.o.Access | src.Writes[r.Type]); ok {
			out = append(out, one)
		}
		if r.Type == scope.AnyType && len(r.Filter) == 0 {
			out = append(out, writesOf(r, s.o.Access, src)...)
		}
	}
	return out
}

// writesOf gives what a wildcard means besides reading: the letters that it has
// for each type that can be written, so that people see which these are.
func writesOf(r scope.Resource, beside scope.Access, src Source) []scope.Resource {
	var out []scope.Resource
	for _, typ := range slices.Sorted(maps.Keys(src.Writes)) {
		letters := r.Access & src.Writes[typ] &^ beside
		if letters == 0 {
			continue
		}
		one, err := scope.ParseResource(string(r.Level) + "/" + typ + "." + letters.String())
		if err == nil {
			out = append(out, one)
		}
	}
	return out
}
