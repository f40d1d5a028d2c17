package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// refuseMethod writes errors as writeOutcome does, and with 405 the methods that
// there are at this path of the source (RFC 9110 §15.5.6).
func (s *source) refuseMethod(path string) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		if fault.KindOf(err) == fault.MethodNotAllowed {
			w.Header().Set("Allow", strings.Join(s.methods(path, r.Method), ", "))
		}
		writeOutcome(w, r, err)
	}
}

// methods are those that a path can be asked by, in the shape of the API and by
// the source's policy, whoever asks: what is there and what is not look the
// same. The refused one is left out: a type may be there and not be searched.
func (s *source) methods(path, refused string) []string {
	segments, err := splitPath(path)
	if err != nil {
		return nil
	}
	var found []string
	_, op := operationAt(segments)
	switch last := segments[len(segments)-1]; {
	case path == "", last == "_search":
		found = []string{http.MethodPost}
	case op:
		found = []string{http.MethodGet, http.MethodHead, http.MethodPost}
	case !search.IsResourceType(segments[0]) && path != "metadata" || len(segments) == 2 && notAnID(last):
	default:
		found = append([]string{http.MethodGet, http.MethodHead}, s.writes(segments)...)
	}
	return slices.DeleteFunc(found, func(m string) bool {
		return m == refused || m == http.MethodHead && refused == http.MethodGet || m == http.MethodGet && refused == http.MethodHead
	})
}

// writes are the methods by which the policy lets apps change what a path names.
func (s *source) writes(segments []string) (methods []string) {
	for _, w := range []struct {
		interaction guard.Interaction
		method      string
		segments    int // of the paths that it is sent to
	}{
		{guard.Create, http.MethodPost, 1}, {guard.Update, http.MethodPut, 2},
		{guard.Patch, http.MethodPatch, 2}, {guard.Delete, http.MethodDelete, 2},
	} {
		if len(segments) == w.segments && s.allows(segments[0], w.interaction) {
			methods = append(methods, w.method)
		}
	}
	return methods
}
