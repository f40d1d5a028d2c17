package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/httpfile"
)

// wantsRaw tells from Accept and _format whether a Binary is wanted as it is or
// as a resource. R4 gives the file unless FHIR is asked for; here that holds for
// handles, while Binary/{id} is a resource unless something else is asked for.
func wantsRaw(r *http.Request, sealed bool) (bool, error) {
	pairs, err := search.ParsePairs(r.URL.RawQuery)
	if err != nil {
		return false, searchFault(err)
	}
	if slices.ContainsFunc(pairs, func(p search.Pair) bool { return p.Name == "_format" }) {
		return false, nil // _format names JSON or is refused, and counts for more than Accept
	}
	fhirQ, otherQ := 0.0, 0.0
	for _, one := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, q := httpfile.MediaRange(one)
		switch {
		case media == "" || strings.HasPrefix(media, "*/"):
		case isFHIR(media) || media == "application/*":
			fhirQ = max(fhirQ, q)
		default:
			otherQ = max(otherQ, q)
		}
	}
	if fhirQ == 0 && otherQ == 0 {
		return sealed, nil
	}
	return otherQ > fhirQ, nil
}

// isFHIR recognises the types in which FHIR may come, the general ones of JSON
// included: what is no file must not pass for one.
func isFHIR(contentType string) bool {
	media := httpfile.Media(contentType)
	switch media {
	case "application/fhir+xml", "application/xml+fhir", "application/fhir+turtle", "application/fhir+ndjson", "application/x-ndjson":
		return true
	}
	return fhir.IsJSON(media)
}
