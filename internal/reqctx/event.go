// Package reqctx owns what belongs to one request while it is served: its id
// and the one wide log event that is filled along the way. It must not hold
// patient data: no ids of records, no query strings, no tokens. It knows no
// protocol and decides nothing.
package reqctx

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
)

// Event is the one log event of a request. Its methods may be called from
// several goroutines, and on a nil Event, where they do nothing: a handler that
// is called outside a server needs no preparation.
type Event struct {
	id    string
	start time.Time

	mu          sync.Mutex
	remote      string
	method      string
	route       string
	client      string
	source      string
	interaction string
	outcome     string
	kind        string
	err         string
	stack       string
	facts
}

// New starts the event of a request that arrived at start.
func New(id string, start time.Time) *Event { return &Event{id: id, start: start} }

// idBytes are 128 bits: an id is never guessed and never repeats.
const idBytes = 16

// NewID makes a request id. Ids are never taken from outside: one that a client
// chose could be made to look like another's in the logs and in the audit.
func NewID(random io.Reader) (string, error) {
	var b [idBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("make a request id: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

type contextKey struct{}

// With gives a context that carries e.
func With(ctx context.Context, e *Event) context.Context {
	return context.WithValue(ctx, contextKey{}, e)
}

// From gives the event of the request, or nil, which is usable, outside one.
func From(ctx context.Context) *Event {
	e, _ := ctx.Value(contextKey{}).(*Event)
	return e
}

// ID gives the id of the request, "" outside one.
func ID(ctx context.Context) string { return From(ctx).ID() }

// ID gives the request id.
func (e *Event) ID() string {
	if e == nil {
		return ""
	}
	return e.id
}

func (e *Event) set(field func(*Event) *string, value string) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	*field(e) = clean(value, maxField)
}

// SetRemote notes the address of the client, for the log and for nothing else.
func (e *Event) SetRemote(addr string) {
	e.set(func(e *Event) *string { return &e.remote }, addr)
}

// SetMethod notes the HTTP method; one that is not registered is "OTHER", since
// a method is free text from outside.
func (e *Event) SetMethod(method string) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
	default:
		method = "OTHER"
	}
	e.set(func(e *Event) *string { return &e.method }, method)
}

// SetRoute notes the normalised route, for instance
// /fhir/{source}/Observation/{id}. Never give it a path as it was asked.
func (e *Event) SetRoute(route string) {
	e.set(func(e *Event) *string { return &e.route }, route)
}

// SetClient notes the client_id of a known client.
func (e *Event) SetClient(id string) {
	e.set(func(e *Event) *string { return &e.client }, id)
}

// SetSource notes the id of a configured source.
func (e *Event) SetSource(id string) {
	e.set(func(e *Event) *string { return &e.source }, id)
}

// SetInteraction notes the FHIR interaction or the step of a flow.
func (e *Event) SetInteraction(name string) {
	e.set(func(e *Event) *string { return &e.interaction }, name)
}

// SetOutcome notes how it ended: "released", "refused", …
func (e *Event) SetOutcome(outcome string) {
	e.set(func(e *Event) *string { return &e.outcome }, outcome)
}

// Fail notes an error: its kind, and its internal text scrubbed. The first one
// stays, since later ones follow from it.
func (e *Event) Fail(err error) {
	if e == nil || err == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kind != "" {
		return
	}
	e.kind = fault.KindOf(err).String()
	e.err = Scrub(err.Error())
	var traced interface{ StackTrace() string }
	if errors.As(err, &traced) {
		e.stack = traced.StackTrace()
		if len(e.stack) > maxStack {
			e.stack = e.stack[:maxStack]
		}
	}
}

// Log writes the event. Server faults are errors, all else is information.
func (e *Event) Log(ctx context.Context, log *slog.Logger, status int, bytes int64, end time.Time) {
	if e == nil {
		return
	}
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	f := e.Facts()
	e.mu.Lock()
	attrs := []slog.Attr{
		slog.String("request", e.id),
		slog.String("method", e.method),
		slog.String("route", e.route),
		slog.Int("status", status),
		slog.Int64("bytes", bytes),
		slog.Duration("duration", end.Sub(e.start)),
	}
	for _, a := range []struct{ name, value string }{
		{"remote", e.remote}, {"client", e.client}, {"source", e.source},
		{"interaction", e.interaction}, {"type", f.Type}, {"cache", f.Cache}, {"outcome", e.outcome}, {"trace", f.Trace},
		{"kind", e.kind}, {"error", e.err}, {"stack", e.stack},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.name, a.value))
		}
	}
	e.mu.Unlock()
	attrs = append(attrs, f.attrs()...)
	log.LogAttrs(ctx, level, "request", attrs...)
}
