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

// ErrUnsent is wrapped by the fault of a Writer when nothing of the change has left,
// so that it was certainly not made.
var ErrUnsent = errors.New("upstream: nothing was sent")

// ErrRange is wrapped by the fault of an Opener when the file has no such range
// (416).
var ErrRange = errors.New("upstream: the file has no such range")

// ErrCostly is wrapped by the fault of a search that would take more to answer
// than one may.
var ErrCostly = errors.New("upstream: too costly")

// NoRange is an ErrRange that tells how long the file is.
type NoRange struct{ Total int64 }

// Error implements error.
func (NoRange) Error() string { return ErrRange.Error() }

// Unwrap makes it an ErrRange.
func (NoRange) Unwrap() error { return ErrRange }

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

// Historian gives old versions, of an upstream that keeps them.
type Historian interface {
	// VRead gives one version of a resource. A missing one is a fault of kind
	// NotFound; an upstream without versions is NotFound as well.
	VRead(ctx context.Context, typ, id, version string) (*Answer, error)
	// History gives the first page of a resource's history, a Bundle; further
	// ones come by Reader.Next. query is already encoded.
	History(ctx context.Context, typ, id, query string) (*Answer, error)
}

// Writer changes resources. Faults: Conflict when ifMatch does not fit the
// current version (412 or 409 of the upstream), Invalid when the upstream
// refuses the content, NotFound when there is nothing to change.
type Writer interface {
	// Create stores a new resource; the upstream gives the id.
	Create(ctx context.Context, typ string, body []byte) (*Written, error)
	// Update replaces a resource if its version is still ifMatch, an ETag as it
	// came in an Answer.
	Update(ctx context.Context, typ, id string, body []byte, ifMatch string) (*Written, error)
	// Delete removes a resource if its version is still ifMatch.
	Delete(ctx context.Context, typ, id, ifMatch string) (*Written, error)
}

// Written is what the upstream says of a change it has made.
type Written struct {
	ID           string // of the resource
	ETag         string // of its new version, "" when absent
	LastModified time.Time
	Body         []byte // the resource as stored, nil when the upstream gives none
}

// Opener streams a file, such as a Binary or what an attachment's URL names.
type Opener interface {
	// Open asks for an absolute URL inside the upstream's base, or inside one
	// of the other places configured for its attachments. A URL elsewhere is a
	// fault of kind NotFound, and no credentials go there.
	Open(ctx context.Context, url string, want FileRequest) (*File, error)
}

// FileRequest is what of the app's request is passed on.
type FileRequest struct {
	Accept string // a list of media types, "" for any
	Range  string // as in the app's header, checked to be one range of bytes, or ""
}

// File is a successful answer (200 or 206). Body must be closed.
type File struct {
	Body         io.ReadCloser
	ContentType  string // as sent by the upstream, "" when absent
	Length       int64  // of Body in bytes, -1 when unknown
	ContentRange string // "" unless a part was given
	ETag         string
	LastModified time.Time
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
