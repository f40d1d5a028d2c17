package telemetry

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// partMeters are of the parts beside the path.
type partMeters struct {
	audit, cache, limited, lost metric.Int64Counter
	breaker                     metric.Int64Gauge

	resultOf  *labels[bool]
	cacheOf   *labels[cacheKey]
	limitedOf *labels[limitKey]
	sourceOf  *labels[string]
}

type (
	cacheKey struct{ source, tier, result string }
	limitKey struct{ source, by string }
)

func newPartMeters(m *maker) partMeters {
	return partMeters{
		audit:   m.counter("portico.audit.writes", "Audit events written, or not: then nothing was given out"),
		cache:   m.counter("portico.cache.lookups", "What the cache answered"),
		limited: m.counter("portico.limited", "Requests refused because a budget was used up"),
		lost:    m.counter("portico.spans.lost", "Spans that could not be sent"),
		breaker: m.gauge("portico.breaker.state", "Circuit breaker of a source: 0 closed, 1 half open, 2 open"),
		resultOf: newLabels(func(ok bool) []attribute.KeyValue {
			if ok {
				return []attribute.KeyValue{attribute.String("result", "written")}
			}
			return []attribute.KeyValue{attribute.String("result", "failed")}
		}),
		cacheOf: newLabels(func(k cacheKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", k.source), attribute.String("tier", k.tier), attribute.String("result", k.result)}
		}),
		limitedOf: newLabels(func(k limitKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", k.source), attribute.String("by", k.by)}
		}),
		sourceOf: newLabels(func(source string) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", source)}
		}),
	}
}

// Audited counts one event that was to be written.
func (t *Telemetry) Audited(ctx context.Context, written bool) {
	if t != nil {
		t.parts.audit.Add(ctx, 1, t.parts.resultOf.get(written))
	}
}

// Cached counts what a tier of the cache (memory, redis, answer) said: hit,
// stale, miss, bypass, stored, shared (a single flight of somebody else's),
// refused or error.
func (t *Telemetry) Cached(ctx context.Context, source, tier, result string) {
	if t != nil {
		t.parts.cache.Add(ctx, 1, t.parts.cacheOf.get(cacheKey{t.words.source(source), in(cacheTiers, tier), in(cacheResults, result)}))
	}
}

// Limited counts a request that was refused because the budget of an app, a
// patient, a source or an address, or of this process (load), was used up.
func (t *Telemetry) Limited(ctx context.Context, source, by string) {
	if t != nil {
		t.parts.limited.Add(ctx, 1, t.parts.limitedOf.get(limitKey{t.words.source(source), in(limiters, by)}))
	}
}

// Breaker notes the state of a source's circuit breaker: closed, half-open or
// open; any other word is not noted.
func (t *Telemetry) Breaker(ctx context.Context, source, state string) {
	if t == nil {
		return
	}
	if at := slices.Index(breakers, state); at >= 0 {
		t.parts.breaker.Record(ctx, int64(at), t.parts.sourceOf.get(t.words.source(source)))
	}
}

// SpansLost counts spans that nobody will see.
func (t *Telemetry) SpansLost(n int) {
	if t != nil {
		t.parts.lost.Add(context.Background(), int64(n))
	}
}
