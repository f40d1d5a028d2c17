package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/portico-fhir/portico/internal/reqctx"
)

// Traces says where spans go.
type Traces struct {
	Endpoint string            // the whole URL of the collector, OTLP over HTTP
	Headers  map[string]string // sent with them
	Ratio    float64           // of the requests that are traced, unless a trusted proxy decided; 0 means all
	// Exporter takes the place of Endpoint.
	Exporter sdktrace.SpanExporter
}

func newTraces(o Options, lost func(int)) (*sdktrace.TracerProvider, error) {
	to := o.Traces.Exporter
	if to == nil {
		if o.Traces.Endpoint == "" {
			return nil, errors.New("telemetry: traces need an endpoint")
		}
		sender, err := otlptracehttp.New(context.Background(),
			otlptracehttp.WithEndpointURL(o.Traces.Endpoint), otlptracehttp.WithHeaders(o.Traces.Headers), otlptracehttp.WithTimeout(10*time.Second))
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		to = sender
	}
	ratio := o.Traces.Ratio
	if ratio == 0 {
		ratio = 1
	}
	return sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&quiet{SpanExporter: to, log: o.Log, lost: lost}),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))),
		// Stated, not detected: what a detector finds (host names, command lines,
		// environment) is nobody's business.
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "portico"), attribute.String("service.version", o.Version))),
	), nil
}

// quiet keeps a collector's failures out of OpenTelemetry's own logger, which
// prints what the collector said on standard error.
type quiet struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	lost func(int)
}

// ExportSpans implements sdktrace.SpanExporter.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := q.SpanExporter.ExportSpans(ctx, spans); err != nil {
		q.lost(len(spans))
		q.log.Warn("spans could not be sent", "spans", len(spans), "error", reqctx.Scrub(err.Error()))
	}
	return nil
}

// Observe begins to watch a request; it fits handler.Options. The traceparent of
// a request is taken over only where trusted says so: anybody could make their
// requests part of somebody else's trace.
func (t *Telemetry) Observe(trusted func(*http.Request) bool) func(*http.Request, *reqctx.Event) (context.Context, func(int, time.Duration)) {
	if t == nil {
		return nil
	}
	return func(r *http.Request, e *reqctx.Event) (context.Context, func(int, time.Duration)) {
		ctx := r.Context()
		t.began(ctx)
		if t.traces == nil {
			return ctx, func(status int, took time.Duration) { t.ended(ctx, e.Facts(), status, took) }
		}
		if trusted != nil && trusted(r) {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier{"Traceparent": r.Header["Traceparent"]})
		}
		f := e.Facts()
		ctx, span := t.tracer.Start(ctx, in(methods, f.Method)+" "+f.Route, trace.WithSpanKind(trace.SpanKindServer))
		if id := span.SpanContext().TraceID(); id.IsValid() {
			e.SetTrace(id.String())
		}
		return ctx, func(status int, took time.Duration) {
			f := e.Facts()
			t.ended(ctx, f, status, took)
			if span.IsRecording() {
				span.SetAttributes(t.tell(f, status)...)
				if status >= http.StatusInternalServerError {
					span.SetStatus(codes.Error, f.Kind)
				}
			}
			span.End()
		}
	}
}

// tell is what a span says of a request.
func (t *Telemetry) tell(f reqctx.Facts, status int) []attribute.KeyValue {
	out := []attribute.KeyValue{
		attribute.String("http.request.method", in(methods, f.Method)), attribute.String("http.route", f.Route), attribute.Int("http.response.status_code", status),
		attribute.String("portico.request", f.ID), attribute.Int("portico.upstream.calls", f.UpstreamCalls),
		attribute.Int("portico.released", f.Released), attribute.Int("portico.masked", f.Masked), attribute.Int("portico.withheld", f.Withheld),
	}
	for _, a := range [][2]string{
		{"portico.source", t.words.source(f.Source)}, {"portico.interaction", known(interactions, f.Interaction)}, {"portico.type", t.words.typ(f.Type)},
		{"portico.outcome", known(outcomes, f.Outcome)}, {"portico.cache", known(cacheResults, f.Cache)}, {"portico.client", f.Client}, {"error.type", f.Kind},
	} {
		if a[1] != "" {
			out = append(out, attribute.String(a[0], a[1]))
		}
	}
	return out
}

// Calling begins the span of a call to an EHR. end is told once how it went and
// what was read of it.
func (t *Telemetry) Calling(ctx context.Context, c Call) (_ context.Context, end func(c Call, bytes int64)) {
	if t == nil || t.traces == nil {
		return ctx, func(Call, int64) {}
	}
	kind, typ := in(kinds, c.Kind), t.words.typ(c.Type)
	name := "upstream " + kind
	if typ != "" {
		name += " " + typ
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(c Call, bytes int64) {
		span.SetAttributes(attribute.String("portico.source", t.words.source(c.Source)), attribute.String("portico.kind", kind), attribute.String("portico.result", c.result()),
			attribute.Int64("portico.bytes", bytes))
		if typ != "" {
			span.SetAttributes(attribute.String("portico.type", typ))
		}
		if c.Status == 0 || c.Status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, c.result())
		}
		span.End()
	}
}
