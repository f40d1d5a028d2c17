package authz

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/portico-fhir/portico/internal/reqctx"
)

// answer is where the authorization response goes. The redirect URI was
// compared with the registered ones; state is what the app sent, byte by byte.
type answer struct{ redirectURI, state string }

// errorAnswer tells the app about an error (RFC 6749 §4.1.2.1).
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, to answer, err error) error {
	e := oauthError(err)
	event := reqctx.From(r.Context())
	event.Fail(err)
	event.SetOutcome("refused")
	said := []string{"error", e.Code, "error_description", e.Description}
	if e.uri != "" {
		said = append(said, "error_uri", e.uri)
	}
	s.redirect(w, to, said...)
	return nil
}

// redirect sends the browser back to the app with parameters, state and, so
// that the app sees which server answers, iss (RFC 9207 §2).
func (s *Server) redirect(w http.ResponseWriter, to answer, namesAndValues ...string) {
	if to.state != "" {
		namesAndValues = append(namesAndValues, "state", to.state)
	}
	namesAndValues = append(namesAndValues, "iss", s.o.Issuer)
	var b strings.Builder
	b.WriteString(to.redirectURI)
	// A query of the redirect URI stays as it is (RFC 6749 §3.1.2).
	separator := "?"
	if strings.Contains(to.redirectURI, "?") {
		separator = "&"
	}
	for i := 0; i < len(namesAndValues); i += 2 {
		b.WriteString(separator + namesAndValues[i] + "=")
		percentEncode(&b, namesAndValues[i+1])
		separator = "&"
	}
	seeOther(w, b.String())
}

// percentEncode writes every byte but unreserved ones as %XX. A space becomes
// %20, which all readers of queries understand alike; "+" some do not.
func percentEncode(b *strings.Builder, s string) {
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(b, "%%%02X", c)
	}
}

// origin gives the origin of a redirect URI for the form-action of a page: a
// scheme alone for native apps.
func origin(redirectURI string) string {
	scheme, rest, _ := strings.Cut(redirectURI, ":")
	authority, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return scheme + ":"
	}
	if i := strings.IndexAny(authority, "/?"); i >= 0 {
		authority = authority[:i]
	}
	return scheme + "://" + authority
}
