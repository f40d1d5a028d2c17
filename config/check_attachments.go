package config

import (
	"net/url"
	"strings"
)

// checkAttachments judges the places where a source's attachments lie. None may
// hold the FHIR base or lie in it: what is fetched from such a place is not
// looked at as FHIR.
func checkAttachments(r *report, key string, s *Source) {
	for i, a := range s.Attachments {
		at := item(key, i) + ".url"
		if a.URL == "" {
			r.add(at, "is missing; give the URL below which files of attachments lie")
			continue
		}
		if !checkURL(r, at, a.URL, urlRule{insecure: s.InsecurePlainHTTP, unless: ", since others could read what passes; or set insecure_plain_http: true for the source", path: true}) {
			continue
		}
		if s.FHIRBase != "" && (within(a.URL, s.FHIRBase) || within(s.FHIRBase, a.URL)) {
			r.add(at, "and fhir_base lie one in the other; files below fhir_base need no entry, and a place above it would give records unchecked")
		}
		for j, other := range s.Attachments[:i] {
			if within(a.URL, other.URL) || within(other.URL, a.URL) {
				r.add(at, "and %s lie one in the other; remove one", item(key, j))
			}
		}
	}
}

// within says whether one URL is another or lies below it. Case does not count:
// there are servers that do not tell it apart.
func within(inner, outer string) bool {
	a, errA := url.Parse(strings.ToLower(inner))
	b, errB := url.Parse(strings.ToLower(outer))
	if errA != nil || errB != nil || a.Host != b.Host {
		return false
	}
	return strings.HasPrefix(strings.TrimSuffix(a.Path, "/")+"/", strings.TrimSuffix(b.Path, "/")+"/")
}
