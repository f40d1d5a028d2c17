// Package upstream states what Portico needs of an EHR: plain requests in FHIR
// terms, answers as bytes. It knows neither patients nor scopes: what may be
// asked, and what of the answer may leave, is decided by the guard.
package upstream

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrUnreadable is wrapped by the fault of a successful answer that is no FHIR
// JSON: a Binary given as it is, or a page of HTML.
var ErrUnreadable = errors.New("upstream: the answer is no FHIR JSON")

// Reader fetches from one upstream.
type Reader interface {
	// Read gives one resource. A missing or deleted one is a fault of kind
	// NotFound; an upstream that fails, answers HTML or times out is Upstream,
	// UpstreamTimeout or Unavailable, never with upstream details in Public.
	Read(ctx context.Context, typ, id string) (*Answer, error)
	// Search gives the first page of a search. query is already encoded and
	// was printed from a parse.
	Search(ctx context.Context, typ, query string) (*Answer, error)
	// Next gives a further page by the absolute URL of a "next" link of this
	// upstream; a URL outside its base is a fault of kind Upstream.
	Next(ctx context.Context, url string) (*Answer, error)
	// Capabilities gives what the upstream says it can do; it may be cached.
	Capabilities(ctx context.Context) (*Capabilities, error)
}

// Answer is a successful answer (2xx). Body must be closed.
type Answer struct {
	Body         io.ReadCloser // FHIR JSON, not yet examined
	ETag         string        // as sent by the upstream, "" when absent
	LastModified time.Time     // zero when absent
}

// Capabilities is the part of an upstream's CapabilityStatement that decides
// what Portico offers and how it narrows.
type Capabilities struct {
	FHIRVersion string
	Types       map[string]TypeCapability // by resource type
}

// TypeCapability is what an upstream says of one resource type.
type TypeCapability struct {
	Interactions map[string]bool // read, search-type, ...
	Params       map[string]bool // search parameter names
	Includes     map[string]bool // "MedicationRequest:medication"
	RevIncludes  map[string]bool
	Profiles     map[string]bool // canonical URLs of supported profiles
}
