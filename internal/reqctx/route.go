package reqctx

import "strings"

// Router turns paths into routes that are fit for logs and metrics. IsType
// says which names are resource types; it comes from outside because this
// package knows no FHIR.
type Router struct {
	IsType func(string) bool
}

// fixed are the paths of Portico that carry nothing of anybody.
var fixed = map[string]bool{
	"/": true, "/livez": true, "/readyz": true, "/metrics": true, "/favicon.ico": true,
	"/oauth/authorize": true, "/oauth/token": true, "/oauth/continue": true, "/oauth/patient": true,
	"/oauth/consent": true, "/oauth/connected": true, "/oauth/connected/stop": true, "/oauth/jwks": true, "/oauth/introspect": true, "/oauth/revoke": true,
	"/oauth/register": true, "/oauth/developer/check-assertion": true, "/oauth/developer/refusals": true, "/oauth/userinfo": true,
	"/.well-known/openid-configuration": true,
	"/login/start":                      true, "/login/callback": true, "/logout": true,
	"/login/back-channel-logout": true, "/ehr/launch": true, "/oauth/par": true,
}

// operations are the parts of a FHIR path that are neither a type nor an id.
var operations = map[string]bool{
	"metadata": true, "_search": true, "_history": true, ".well-known": true, "smart-configuration": true,
	"$everything": true, "$docref": true, "$export": true, "$validate": true, "$lastn": true, "$graphql": true,
}

// maxSegments is more than any FHIR path has.
const maxSegments = 10

// Route gives the normalised route of a path: what is not known to be harmless
// is replaced. A path that is none of Portico's becomes "/{other}", whatever it
// holds: people paste names and numbers into address bars.
func (r Router) Route(path string) string {
	if fixed[path] {
		return path
	}
	segments := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	if len(segments) > maxSegments {
		return "/{other}"
	}
	switch segments[0] {
	case "static":
		return "/static/{file}"
	case "fhir":
		return r.fhirRoute(segments)
	case "notify":
		return "/notify/{source}"
	case "oauth", "login":
		if len(segments) == 3 && segments[1] == "register" {
			return "/oauth/register/{client}"
		}
		return "/" + segments[0] + "/{other}"
	default:
		return "/{other}"
	}
}

func (r Router) fhirRoute(segments []string) string {
	out := "/fhir"
	for i, s := range segments[1:] {
		switch {
		case i == 0:
			out += "/{source}"
		case operations[s]:
			out += "/" + s
		case r.IsType != nil && r.IsType(s):
			out += "/" + s
		default:
			out += "/{id}"
		}
	}
	return out
}
