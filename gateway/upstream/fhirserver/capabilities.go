package fhirserver

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	// capabilityAge is how long a CapabilityStatement is believed.
	capabilityAge = 10 * time.Minute
	// capabilityRetry is how long a failure is remembered, so that a server
	// without metadata is not asked with every request.
	capabilityRetry = 30 * time.Second
	// maxCapability bounds the statement; real ones reach a few MB.
	maxCapability = 32 << 20
)

type capabilityCache struct {
	mu    sync.Mutex
	until time.Time
	known *upstream.Capabilities
	err   error
}

// Capabilities implements upstream.Reader. One caller asks, the others wait.
func (s *Server) Capabilities(ctx context.Context) (*upstream.Capabilities, error) {
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	if time.Now().Before(s.known.until) {
		return s.known.known, s.known.err
	}
	// Not the caller's deadline: its going away must not look like a failure
	// of the upstream to the next one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	known, err := s.fetchCapabilities(ctx)
	if err != nil {
		s.known.until = time.Now().Add(capabilityRetry)
		if s.known.known != nil {
			return s.known.known, nil // yesterday's statement beats none
		}
		s.known.err = err
		return nil, err
	}
	s.known.known, s.known.err, s.known.until = known, nil, time.Now().Add(capabilityAge)
	return known, nil
}

func (s *Server) fetchCapabilities(ctx context.Context) (*upstream.Capabilities, error) {
	const unusable = "The record system's metadata cannot be used."
	answer, err := s.get(ctx, s.base.String()+"/metadata")
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxCapability))
	if err != nil {
		return nil, fault.Wrap(err, fault.Upstream, unusable)
	}
	statement, err := fhir.ParseResource(raw)
	if err != nil {
		return nil, fault.Wrap(err, fault.Upstream, unusable)
	}
	if statement.Type() != "CapabilityStatement" {
		return nil, fault.New(fault.Upstream, unusable)
	}
	return readCapabilities(statement), nil
}

func readCapabilities(statement *fhir.Resource) *upstream.Capabilities {
	out := &upstream.Capabilities{
		FHIRVersion: statement.Root().Get("fhirVersion").Text(),
		Types:       map[string]upstream.TypeCapability{},
	}
	for res := range statement.Root().At("rest", "resource") {
		t := upstream.TypeCapability{
			Interactions: texts(res, "interaction", "code"),
			Params:       texts(res, "searchParam", "name"),
			Includes:     texts(res, "searchInclude"),
			RevIncludes:  texts(res, "searchRevInclude"),
			Profiles:     texts(res, "supportedProfile"),
		}
		out.Types[res.Get("type").Text()] = t
	}
	return out
}

func texts(n fhir.Node, path ...string) map[string]bool {
	out := map[string]bool{}
	for v := range n.At(path...) {
		out[v.Text()] = true
	}
	return out
}
