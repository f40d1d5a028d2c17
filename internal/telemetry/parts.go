package telemetry

import (
	"context"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// partMeters are of the parts beside the path.
type partMeters struct {
	meter              metric.Meter
	audit, cache, lost metric.Int64Counter
	breaker, inFlight  metric.Int64ObservableGauge

	resultOf *labels[bool]
	cacheOf  *labels[cacheKey]
	sourceOf *labels[string]
}

type cacheKey struct{ source, tier, result string }

func newPartMeters(m *maker) partMeters {
	return partMeters{
		audit:    m.counter("portico.audit.writes", "Audit events written, or not: then nothing was given out"),
		cache:    m.counter("portico.cache.lookups", "What the cache answered"),
		lost:     m.counter("portico.spans.lost", "Spans that could not be sent"),
		meter:    m.meter,
		breaker:  m.observed("portico.breaker.state", "Circuit breaker of a source: 0 closed, 1 half open, 2 open"),
		inFlight: m.observed("portico.upstream.running", "Answers of EHRs that are waited for or read now"),
		resultOf: newLabels(func(ok bool) []attribute.KeyValue {
			if ok {
				return []attribute.KeyValue{attribute.String("result", "written")}
			}
			return []attribute.KeyValue{attribute.String("result", "failed")}
		}),
		cacheOf: newLabels(func(k cacheKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", k.source), attribute.String("tier", k.tier), attribute.String("result", k.result)}
		}),
		sourceOf: newLabels(func(source string) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", source)}
		}),
	}
}

// begin lets those numbers begin at 0 whose rise from there is worth an alert: of one
// that is not there before its first event, Prometheus sees no rise.
func (t *Telemetry) begin(sources []string) {
	ctx := context.Background()
	for _, written := range []bool{true, false} {
		t.parts.audit.Add(ctx, 0, t.parts.resultOf.get(written))
	}
	t.parts.lost.Add(ctx, 0)
	for _, source := range sources {
		for _, reason := range []string{"foreign", "malformed"} {
			t.requests.resources.Add(ctx, 0, t.requests.resourcesOf.get(resourceKey{source, "withheld", t.words.reason(reason)}))
		}
	}
}

// Audited counts one event that was to be written.
func (t *Telemetry) Audited(ctx context.Context, written bool) {
	if t != nil {
		t.parts.audit.Add(ctx, 1, t.parts.resultOf.get(written))
	}
}

// Cached counts what a tier of the cache (memory, redis) said, or what it came to
// for a whole request (request): hit,
// stale, miss, bypass, stored, shared (a single flight of somebody else's),
// refused or error.
func (t *Telemetry) Cached(ctx context.Context, source, tier, result string) {
	if t != nil {
		t.parts.cache.Add(ctx, 1, t.parts.cacheOf.get(cacheKey{t.words.source(source), in(cacheTiers, tier), in(cacheResults, result)}))
	}
}

// SourceState is how a source does at the moment.
type SourceState struct {
	Source   string
	Breaker  string // closed, half-open or open; any other word is not told
	InFlight int    // answers of the EHR that are waited for or read
}

// Watch asks states whenever the numbers are fetched.
func (t *Telemetry) Watch(states func() []SourceState) error {
	if t == nil {
		return nil
	}
	p := &t.parts
	_, err := p.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, s := range states() {
			of := p.sourceOf.get(t.words.source(s.Source))
			if at := slices.Index(breakers, s.Breaker); at >= 0 {
				o.ObserveInt64(p.breaker, int64(at), of)
			}
			o.ObserveInt64(p.inFlight, int64(s.InFlight), of)
		}
		return nil
	}, p.breaker, p.inFlight)
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	return nil
}

// SpansLost counts spans that nobody will see.
func (t *Telemetry) SpansLost(n int) {
	if t != nil {
		t.parts.lost.Add(context.Background(), int64(n))
	}
}
