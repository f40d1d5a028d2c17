package ehr

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// maxBody bounds what a client may send.
const maxBody = 16 << 20

// call is one interaction, whether it came as a request or inside a batch.
type call struct {
	ctx    context.Context
	method string
	base   string    // absolute FHIR base as this caller sees it, without a trailing slash
	at     fhir.Base // the same, parsed
	path   []string  // segments below the base, decoded
	query  string    // the raw query
	header http.Header
	body   []byte
	modes  Mode
	inner  bool // inside a batch
}

// answer is what an interaction comes to: a bundle, or one resource, or nothing.
type answer struct {
	status   int
	header   http.Header
	bundle   *bundle
	resource []byte
	file     *file  // in place of a resource
	authored bool   // resource was written by the server, not stored
	modified string // meta.lastUpdated of the resource, for Last-Modified
}

func (s *Server) newCall(w http.ResponseWriter, r *http.Request, modes Mode) (*call, error) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	c := &call{ctx: r.Context(), method: r.Method, base: scheme + "://" + r.Host + s.path, query: r.URL.RawQuery, header: r.Header, modes: modes}
	if c.method == http.MethodHead {
		c.method = http.MethodGet // net/http drops the body
	}
	at, err := fhir.ParseBase(c.base)
	if err != nil {
		return c, refuse(http.StatusBadRequest, "invalid", "the Host header is not usable")
	}
	c.at = at
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), s.path)
	if !ok || rest != "" && rest[0] != '/' {
		return c, refuse(http.StatusNotFound, "not-found", "the FHIR base is %s", s.path)
	}
	if c.path, err = segments(rest); err != nil {
		return c, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return c, refuse(http.StatusRequestEntityTooLarge, "too-long", "the body is too large")
	case err != nil:
		return c, refuse(http.StatusBadRequest, "invalid", "the body could not be read")
	}
	c.body = body
	if !s.admitted(r.Header) && !(len(c.path) == 1 && c.path[0] == "metadata") {
		return c, refuse(http.StatusUnauthorized, "login", "credentials are missing or wrong")
	}
	return c, nil
}

// segments splits and decodes a path; one trailing slash is tolerated.
func segments(escaped string) ([]string, error) {
	escaped = strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/")
	if escaped == "" {
		return nil, nil
	}
	parts := strings.Split(escaped, "/")
	for i, part := range parts {
		decoded, err := url.PathUnescape(part)
		if err != nil || decoded == "" || strings.ContainsAny(decoded, "/\\") {
			return nil, refuse(http.StatusNotFound, "not-found", "the path is malformed")
		}
		parts[i] = decoded
	}
	return parts, nil
}

// answer runs one interaction. The handlers return errors; here they become
// OperationOutcomes, and stored resources are spoilt if a test asked for it.
func (s *Server) answer(c *call) answer {
	var a answer
	var err error
	switch {
	case wantsFile(c):
		a, err = s.binaryFile(c)
	case len(c.path) == 2 && c.path[0] == "documents" && c.method == http.MethodGet:
		a, err = s.documents(c.path[1])
	default:
		if err = acceptable(c); err == nil {
			a, err = s.dispatch(c)
		}
	}
	if err != nil {
		return failed(err)
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	if at, err := time.Parse(time.RFC3339, a.modified); err == nil {
		a.header.Set("Last-Modified", at.UTC().Format(http.TimeFormat))
	}
	return s.spoil(c, a)
}

// acceptable checks _format and Accept (R4 http, section 3.1.0.1.11): only JSON
// is written. _format overrides Accept.
func acceptable(c *call) error {
	pairs, err := search.ParsePairs(c.query)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid", "%s", err)
	}
	for _, p := range pairs {
		if p.Name == "_format" && !isJSON(strings.ReplaceAll(p.Value, " ", "+")) { // an unescaped + arrives as a space
			return refuse(http.StatusNotAcceptable, "not-supported", "only JSON is supported")
		} else if p.Name == "_format" {
			return nil
		}
	}
	accept := c.header.Values("Accept")
	if len(accept) == 0 {
		return nil
	}
	for _, one := range strings.Split(strings.Join(accept, ","), ",") {
		if isJSON(one) {
			return nil
		}
	}
	return refuse(http.StatusNotAcceptable, "not-supported", "only JSON is supported")
}

// isJSON says whether a media type or range includes FHIR R4 as JSON.
func isJSON(text string) bool {
	media, params, err := mime.ParseMediaType(text)
	if err != nil {
		return strings.TrimSpace(text) == ""
	}
	if v := params["fhirversion"]; v != "" && !strings.HasPrefix(v, "4.0") || params["q"] == "0" {
		return false
	}
	switch media {
	case "*/*", "application/*", "json", "text/json", "application/json", "application/fhir+json", "application/json+fhir":
		return true
	}
	return false
}

// dispatch finds the interaction (R4 http, section 3.1.0).
func (s *Server) dispatch(c *call) (answer, error) {
	get, post := c.method == http.MethodGet, c.method == http.MethodPost
	if len(c.path) == 0 {
		if post {
			return s.batch(c)
		}
		return answer{}, notAllowed("POST")
	}
	if len(c.path) == 1 && c.path[0] == "metadata" {
		if s.restriction().NoMetadata {
			return answer{}, notFound()
		}
		if get {
			return s.metadata(c)
		}
		return answer{}, notAllowed("GET")
	}
	typ, ok := typeNamed(c.path[0])
	if !ok {
		return answer{}, refuse(http.StatusNotFound, "not-supported", "the resource type is not one of FHIR R4")
	}
	switch {
	case len(c.path) == 1 && get:
		return s.search(c, typ, nil)
	case len(c.path) == 1 && post:
		return s.create(c, typ)
	case len(c.path) == 1:
		return answer{}, notAllowed("GET, POST")
	case len(c.path) == 2 && c.path[1] == "_search":
		return s.postSearch(c, typ, nil)
	case len(c.path) == 2 && (c.path[1][0] == '_' || c.path[1][0] == '$'):
		return answer{}, refuse(http.StatusNotFound, "not-supported", "this operation is not supported on a type")
	}
	if !fhir.ValidID(c.path[1]) {
		return answer{}, notFound()
	}
	if len(c.path) == 2 {
		return s.instance(c, typ, c.path[1])
	}
	return s.below(c, typ, c.path[1])
}

func (s *Server) instance(c *call, typ int, id string) (answer, error) {
	switch c.method {
	case http.MethodGet:
		return s.read(c, typ, id)
	case http.MethodPut:
		return s.update(c, typ, id)
	case http.MethodDelete:
		return s.remove(c, typ, id)
	}
	return answer{}, notAllowed("GET, PUT, DELETE")
}

// below handles what stands under an instance: history, $everything and the
// compartment of a patient.
func (s *Server) below(c *call, typ int, id string) (answer, error) {
	get, patient := c.method == http.MethodGet, resourceTypes[typ].name == "Patient"
	switch rest := c.path[2:]; {
	case rest[0] == "_history" && len(rest) == 1 && get:
		return s.history(c, typ, id)
	case rest[0] == "_history" && len(rest) == 2 && get:
		return s.vread(c, typ, id, rest[1])
	case rest[0] == "_history" && len(rest) <= 2:
		return answer{}, notAllowed("GET")
	case !patient:
	case rest[0] == "$everything" && len(rest) == 1:
		return s.everything(c, id)
	case len(rest) == 1 || len(rest) == 2 && rest[1] == "_search":
		inner, ok := typeNamed(rest[0])
		if !ok || resourceTypes[inner].compartment == "" {
			break
		}
		if len(rest) == 2 {
			return s.postSearch(c, inner, &compartment{id})
		}
		if get {
			return s.search(c, inner, &compartment{id})
		}
		return answer{}, notAllowed("GET")
	}
	return answer{}, refuse(http.StatusNotFound, "not-supported", "there is nothing at this address")
}
