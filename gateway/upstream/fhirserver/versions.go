package fhirserver

import (
	"context"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

var _ upstream.Historian = (*Server)(nil)

// VRead implements upstream.Historian. The version has the form of an id (R4
// http, section 3.1.0.3); anything else would name another path.
func (s *Server) VRead(ctx context.Context, typ, id, version string) (*upstream.Answer, error) {
	if !fhir.ValidID(id) || !fhir.ValidID(version) {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	return s.get(ctx, s.base.String()+"/"+typ+"/"+id+"/_history/"+version)
}

// History implements upstream.Historian.
func (s *Server) History(ctx context.Context, typ, id, query string) (*upstream.Answer, error) {
	if !fhir.ValidID(id) {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	target := s.base.String() + "/" + typ + "/" + id + "/_history"
	if query != "" {
		target += "?" + query
	}
	return s.get(ctx, target)
}
