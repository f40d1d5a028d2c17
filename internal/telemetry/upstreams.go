package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type upstreamMeters struct {
	count metric.Int64Counter
	took  metric.Float64Histogram
	bytes metric.Int64Counter

	countOf  *labels[callKey]
	tookOf   *labels[kindKey]
	sourceOf *labels[string]
}

type (
	callKey struct{ source, kind, result string }
	kindKey struct{ source, kind string }
)

func newUpstreamMeters(m *maker) upstreamMeters {
	return upstreamMeters{
		count: m.counter("portico.upstream.requests", "Requests sent to EHRs, each attempt for itself"),
		took:  m.seconds("portico.upstream.duration", "Time until an EHR's answer begins"),
		bytes: m.counter("portico.upstream.bytes", "Bytes of EHRs' answers that were read"),
		countOf: newLabels(func(k callKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", k.source), attribute.String("kind", k.kind), attribute.String("result", k.result)}
		}),
		tookOf: newLabels(func(k kindKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", k.source), attribute.String("kind", k.kind)}
		}),
		sourceOf: newLabels(func(source string) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", source)}
		}),
	}
}

// The results of a call that has no status.
const (
	Unreachable = "unreachable"
	TimedOut    = "timeout"
	GivenUp     = "given-up" // the client went away, or a sibling failed
)

// Call is one request to an EHR.
type Call struct {
	Source string
	Kind   string // read, search, page, create, …
	Type   string // resource type, "" for none
	Status int    // 0: none came
	Failed string // Unreachable, TimedOut or GivenUp, when there is no status
}

func (c Call) result() string {
	if c.Status != 0 {
		return class(c.Status)
	}
	return known([]string{Unreachable, TimedOut, GivenUp}, c.Failed)
}

// Called counts a call whose answer has begun, or failed to.
func (t *Telemetry) Called(ctx context.Context, c Call, took time.Duration) {
	if t == nil {
		return
	}
	source, kind := t.words.source(c.Source), in(kinds, c.Kind)
	t.upstreams.count.Add(ctx, 1, t.upstreams.countOf.get(callKey{source, kind, c.result()}))
	t.upstreams.took.Record(ctx, took.Seconds(), t.upstreams.tookOf.get(kindKey{source, kind}))
}

// Received adds the bytes of a body that was read.
func (t *Telemetry) Received(ctx context.Context, source string, n int64) {
	if t == nil || n == 0 {
		return
	}
	t.upstreams.bytes.Add(ctx, n, t.upstreams.sourceOf.get(t.words.source(source)))
}
