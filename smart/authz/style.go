package authz

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/internal/fault"
)

// pathStyle is where the style of a source is, with its digest behind it: when
// the content changes, the address does (SMART App Launch 2.2, "Styling
// support": SHALL), so it may be kept for good.
const pathStyle = "/oauth/style/"

func styleName(document []byte) string {
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:16]) + ".json"
}

// styleURL is where the style of a source is served, "" when it has none.
func (s *Server) styleURL(src Source) string {
	if len(src.Style) == 0 {
		return ""
	}
	return s.url(pathStyle + styleName(src.Style))
}

func (s *Server) serveStyle(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		return &Error{Code: invalidRequest, Description: "This document can be read only.", Status: http.StatusMethodNotAllowed}
	}
	for _, src := range s.o.Sources {
		if len(src.Style) > 0 && styleName(src.Style) == mux.Vars(r)["name"] {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			sendJSON(w, http.StatusOK, json.RawMessage(src.Style))
			return nil
		}
	}
	err := fault.New(fault.NotFound, "There is no such style.")
	return &Error{Code: invalidRequest, Description: "There is no such style.", Status: http.StatusNotFound, Err: err}
}

// checkStyleDocument wants a JSON object.
func checkStyleDocument(document []byte) error {
	var object map[string]any
	if len(document) > 0 && (json.Unmarshal(document, &object) != nil || object == nil) {
		return errors.New("must be a JSON object")
	}
	return nil
}
