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
	// capabilityWait bounds how long the server may take to say it.
	capabilityWait = 10 * time.Second
	// maxCapability bounds the statement; real ones reach a few MB.
	maxCapability = 32 << 20
)

// capabilityCache is what the server said of itself last.
type capabilityCache struct {
	turn sync.Mutex // held by the one caller who asks the server

	mu    sync.Mutex // guards what follows, and is never held for long
	until time.Time
	known *upstream.Capabilities
	err   error
}

// now gives what is cached, and whether it still counts.
func (c *capabilityCache) now() (known *upstream.Capabilities, fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known, time.Now().Before(c.until), c.err
}

// keep takes what the server said. After a failure yesterday's statement beats
// none.
func (c *capabilityCache) keep(known *upstream.Capabilities, err error) (*upstream.Capabilities, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.known, c.err, c.until = known, nil, time.Now().Add(capabilityAge)
	default:
		c.until = time.Now().Add(capabilityRetry)
		if c.known == nil {
			c.err = err
		}
	}
	return c.known, c.err
}

// Capabilities implements upstream.Reader. One caller asks; meanwhile the others
// go on with the statement before, and wait only when there is none.
func (s *Server) Capabilities(ctx context.Context) (*upstream.Capabilities, error) {
	known, fresh, err := s.known.now()
	if fresh {
		return known, err
	}
	if !s.known.turn.TryLock() {
		if known != nil {
			return known, nil
		}
		s.known.turn.Lock()
	}
	defer s.known.turn.Unlock()
	if known, fresh, err := s.known.now(); fresh {
		return known, err
	}
	// Not the caller's deadline: its going away must not look like a failure
	// of the upstream to the next one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), capabilityWait)
	defer cancel()
	return s.known.keep(s.fetchCapabilities(ctx))
}

// Recheck asks for the CapabilityStatement now, however fresh what is known of it
// is, and says whether the server gave one.
func (s *Server) Recheck(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, capabilityWait)
	defer cancel()
	got, err := s.fetchCapabilities(ctx)
	if before, _, _ := s.known.now(); err == nil || before == nil {
		_, _ = s.known.keep(got, err) // the same error
	}
	return err
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
