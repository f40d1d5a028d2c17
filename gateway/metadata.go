package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/capability"
	"github.com/portico-fhir/portico/internal/fault"
)

// metadata serves the CapabilityStatement (R4 http, section 3.1.0.9), open to
// everybody.
func (g *Gateway) metadata(w http.ResponseWriter, r *http.Request, src *source) error {
	if !isGet(r) {
		return fault.New(fault.MethodNotAllowed, "metadata can only be read.")
	}
	if err := acceptsJSON(r.Header.Values("Accept")); err != nil {
		return err
	}
	known, err := src.Upstream.Capabilities(r.Context())
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		known = nil // the upstream states nothing: the guard's tables stand alone
	case err != nil:
		return err
	}
	body, err := capability.Statement{
		Name: src.Name, URL: src.publicBase, Version: g.version, Now: g.now(), AuthorizeURL: g.oauth.authorize, TokenURL: g.oauth.token,
		Upstream: known, Versions: src.Versions != nil, Allows: src.allows, Operations: offered(),
	}.JSON()
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", fhir.JSON)
	header.Set("Cache-Control", "public, max-age=300")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, err = w.Write(body)
	return gone(err)
}

// offered are the operations as they are stated.
func offered() []capability.Operation {
	var out []capability.Operation
	for _, op := range operations() {
		out = append(out, capability.Operation{Type: op.typ, Name: strings.TrimPrefix(op.name, "$"), Definition: op.definition})
	}
	return out
}
