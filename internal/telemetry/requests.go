package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/portico-fhir/portico/internal/reqctx"
)

type requestMeters struct {
	count     metric.Int64Counter
	took      metric.Float64Histogram
	running   metric.Int64UpDownCounter
	resources metric.Int64Counter
	tokens    metric.Int64Counter
	errors    metric.Int64Counter

	countOf     *labels[requestKey]
	tookOf      *labels[tookKey]
	resourcesOf *labels[resourceKey]
	tokensOf    *labels[tokenKey]
	errorsOf    *labels[errorKey]
}

type (
	requestKey  struct{ surface, source, interaction, typ, status string }
	tookKey     struct{ surface, source, interaction, status string }
	resourceKey struct{ source, outcome, reason string }
	tokenKey    struct{ grant, result string }
	errorKey    struct{ surface, source, kind string }
)

func newRequestMeters(m *maker) requestMeters {
	return requestMeters{
		count:     m.counter("portico.requests", "Requests answered"),
		took:      m.seconds("portico.request.duration", "Time from the arrival of a request to the end of its answer"),
		running:   m.running("portico.requests.running", "Requests being answered now"),
		resources: m.counter("portico.resources", "What happened to resources that came back from an EHR"),
		tokens:    m.counter("portico.tokens", "Requests to the token endpoint"),
		errors:    m.counter("portico.errors", "Requests that ended with an error, by its kind"),
		countOf: newLabels(func(k requestKey) []attribute.KeyValue {
			return []attribute.KeyValue{
				attribute.String("surface", k.surface), attribute.String("source", k.source), attribute.String("interaction", k.interaction),
				attribute.String("type", k.typ), attribute.String("status", k.status),
			}
		}),
		tookOf: newLabels(func(k tookKey) []attribute.KeyValue {
			return []attribute.KeyValue{
				attribute.String("surface", k.surface), attribute.String("source", k.source),
				attribute.String("interaction", k.interaction), attribute.String("status", k.status),
			}
		}),
		resourcesOf: newLabels(func(k resourceKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("source", k.source), attribute.String("outcome", k.outcome), attribute.String("reason", k.reason)}
		}),
		errorsOf: newLabels(func(k errorKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("surface", k.surface), attribute.String("source", k.source), attribute.String("kind", k.kind)}
		}),
		tokensOf: newLabels(func(k tokenKey) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("grant", k.grant), attribute.String("result", k.result)}
		}),
	}
}

// began and ended count one request.
func (t *Telemetry) began(ctx context.Context) { t.requests.running.Add(ctx, 1) }

func (t *Telemetry) ended(ctx context.Context, f reqctx.Facts, status int, took time.Duration) {
	m, w := &t.requests, t.words
	m.running.Add(ctx, -1)
	k := requestKey{surface(f.Route), w.source(f.Source), known(interactions, f.Interaction), w.typ(f.Type), class(status)}
	m.count.Add(ctx, 1, m.countOf.get(k))
	m.took.Record(ctx, took.Seconds(), m.tookOf.get(tookKey{k.surface, k.source, k.interaction, k.status}))
	for _, n := range []struct {
		outcome string
		of      int
	}{{"released", f.Released}, {"masked", f.Masked}} {
		if n.of > 0 {
			m.resources.Add(ctx, int64(n.of), m.resourcesOf.get(resourceKey{k.source, n.outcome, ""}))
		}
	}
	for reason, n := range f.Reasons {
		m.resources.Add(ctx, int64(n), m.resourcesOf.get(resourceKey{k.source, "withheld", w.reason(reason)}))
	}
	if f.Kind != "" {
		m.errors.Add(ctx, 1, m.errorsOf.get(errorKey{k.surface, k.source, w.reason(f.Kind)}))
	}
	if f.Cache != "" {
		t.Cached(ctx, f.Source, "request", f.Cache)
	}
	if f.Route == "/oauth/token" {
		result := "refused"
		if class(status) == "2xx" {
			result = "issued"
		}
		m.tokens.Add(ctx, 1, m.tokensOf.get(tokenKey{known(grantTypes, f.Interaction), result}))
	}
}
