package upstreamtest

import (
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// ValueOf takes a search value from what a resource holds, as the certification
// kit does: system|code, a whole date, a reference, a word of a name. "" means
// that it holds none.
func ValueOf(d search.Definition, r *fhir.Resource) string {
	if d.Name == "_id" {
		return r.ID()
	}
	for v := range d.Values(r) {
		if s := valueOf(d.Kind, v); s != "" {
			return s
		}
	}
	return ""
}

func valueOf(kind search.Kind, v fhir.Node) string {
	switch kind {
	case search.Token:
		return tokenOf(v)
	case search.Date:
		if start := v.Get("start").Text(); start != "" {
			return "ge" + start
		}
		return v.Text()
	case search.Reference:
		if ref := v.Get("reference").Text(); ref != "" {
			return ref
		}
		return v.Text()
	case search.String:
		for _, part := range []string{"family", "city", "text", "description", "line"} {
			if s := v.Get(part).Text(); s != "" {
				return s
			}
		}
		return v.Text()
	}
	return v.Text()
}

func tokenOf(v fhir.Node) string {
	for c := range v.Get("coding").Items() {
		if c.Get("code").Exists() {
			return c.Get("system").Text() + "|" + c.Get("code").Text()
		}
	}
	for _, part := range []string{"value", "code"} {
		if v.Get(part).Exists() {
			return v.Get("system").Text() + "|" + v.Get(part).Text()
		}
	}
	return v.Text()
}
