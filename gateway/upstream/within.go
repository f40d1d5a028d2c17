package upstream

import (
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// Within says whether an absolute URL is on an upstream's base or below it,
// compared part by part (docs/pitfalls.md 32). A URL that some server or proxy
// could read as another is not: one with a user, a backslash, dot segments or
// escapes that hide a slash, a dot or a further escape.
func Within(base fhir.Base, link string) bool {
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || u.User != nil {
		return false
	}
	path := strings.ToLower(u.EscapedPath())
	for _, hidden := range []string{`\`, "%2f", "%2e", "%5c", "%25", "%00", "//"} {
		if strings.Contains(path, hidden) {
			return false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	// Servers page with ?_getpages= on the base itself as well as below it.
	if _, below := base.Relative(link); below {
		return true
	}
	at, _, _ := strings.Cut(link, "?")
	b, err := fhir.ParseBase(at)
	return err == nil && b == base
}
