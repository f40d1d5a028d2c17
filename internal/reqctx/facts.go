package reqctx

import (
	"log/slog"
	"maps"
	"time"
)

// maxReasons bounds the words of one event. They are constants of the code; the
// bound holds even where one is not.
const maxReasons = 40

// facts are what is counted while a request is served.
type facts struct {
	typ, cache, trace          string
	released, masked, withheld int
	reasons                    map[string]int
	upstreamCalls              int
	upstreamTime               time.Duration
}

// Facts is a request as logs, metrics and spans may tell of it: names of closed
// lists, ids of the configuration and numbers.
type Facts struct {
	ID          string
	Method      string
	Route       string
	Client      string
	Source      string
	Interaction string
	Type        string // resource type
	Outcome     string
	Kind        string // of the error, "" without one
	Cache       string // how the cache answered
	Trace       string // W3C trace id

	Released, Masked, Withheld int
	Reasons                    map[string]int // entries withheld by reason
	UpstreamCalls              int            // answers of the EHR waited for
	UpstreamTime               time.Duration  // until their headers, added up
}

// SetType notes the resource type asked, one that FHIR knows.
func (e *Event) SetType(typ string) {
	e.set(func(e *Event) *string { return &e.typ }, typ)
}

// SetCache notes how the cache answered: "hit", "miss", …
func (e *Event) SetCache(result string) {
	e.set(func(e *Event) *string { return &e.cache }, result)
}

// SetTrace notes the id of the trace that the request is part of.
func (e *Event) SetTrace(id string) {
	e.set(func(e *Event) *string { return &e.trace }, id)
}

// Count adds what happened to resources. A batch adds what each of its entries
// did.
func (e *Event) Count(released, masked, withheld int) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.released += released
	e.masked += masked
	e.withheld += withheld
}

// Withhold counts one resource that does not leave. reason is a constant word.
func (e *Event) Withhold(reason string) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reasons == nil {
		e.reasons = map[string]int{}
	}
	if _, known := e.reasons[reason]; !known && len(e.reasons) >= maxReasons {
		reason = "other"
	}
	e.reasons[reason]++
}

// Upstream adds one call to an EHR and how long its answer took to begin.
func (e *Event) Upstream(took time.Duration) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.upstreamCalls++
	e.upstreamTime += took
}

// Facts gives what is known of the request now.
func (e *Event) Facts() Facts {
	if e == nil {
		return Facts{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return Facts{
		ID: e.id, Method: e.method, Route: e.route, Client: e.client, Source: e.source, Interaction: e.interaction, Type: e.typ,
		Outcome: e.outcome, Kind: e.kind, Cache: e.cache, Trace: e.trace, Released: e.released, Masked: e.masked, Withheld: e.withheld,
		Reasons: maps.Clone(e.reasons), UpstreamCalls: e.upstreamCalls, UpstreamTime: e.upstreamTime,
	}
}

// attrs are the numbers of the log line, each only where there is something to
// tell.
func (f Facts) attrs() []slog.Attr {
	var out []slog.Attr
	if f.UpstreamCalls > 0 {
		out = append(out, slog.Int("upstream_calls", f.UpstreamCalls), slog.Duration("upstream_time", f.UpstreamTime))
	}
	for _, n := range []struct {
		name string
		of   int
	}{{"released", f.Released}, {"masked", f.Masked}, {"withheld", f.Withheld}} {
		if n.of > 0 {
			out = append(out, slog.Int(n.name, n.of))
		}
	}
	return out
}
