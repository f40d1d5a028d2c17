// Package telemetry owns what Portico tells its operators in numbers (Prometheus)
// and in spans (OpenTelemetry). Every label and attribute is a word of a closed
// list, an id of the configuration or a number; what is none of these becomes
// "other". It must not know records, people or tokens: nothing in its signatures
// could carry one, and nothing that it is given is passed on unseen.
//
// All methods may be called on a nil *Telemetry, where they do nothing.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxSeries bounds the series of one instrument, whatever the vocabularies
// multiply to.
const maxSeries = 20_000

// other stands for every word that is not in its list.
const other = "other"

// Options configures a Telemetry.
type Options struct {
	Version  string            // of the software
	Revision string            // of its source, "" when unknown
	Sources  []string          // ids of the configured sources
	IsType   func(string) bool // says which names are FHIR resource types
	Traces   *Traces           // nil: no spans are made
	Log      *slog.Logger      // for what goes wrong here; nil: nobody is told
}

// Telemetry is where the parts of Portico report to.
type Telemetry struct {
	words     *words
	registry  *prometheus.Registry
	metrics   *sdkmetric.MeterProvider
	traces    *sdktrace.TracerProvider // nil: no spans
	tracer    trace.Tracer
	requests  requestMeters
	upstreams upstreamMeters
	parts     partMeters
}

// New makes the instruments and, when asked, begins to send spans.
func New(o Options) (*Telemetry, error) {
	if o.IsType == nil {
		o.IsType = func(string) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Telemetry{words: &words{sources: slices.Clone(o.Sources), isType: o.IsType}, registry: prometheus.NewRegistry()}
	exporter, err := otelprom.New(otelprom.WithRegisterer(t.registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	t.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithCardinalityLimit(maxSeries))
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := t.registry.Register(c); err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
	}
	m := &maker{meter: t.metrics.Meter("portico")}
	t.requests, t.upstreams, t.parts = newRequestMeters(m), newUpstreamMeters(m), newPartMeters(m)
	m.constant("portico.build.info", "What runs: always 1", map[string]string{"version": o.Version, "revision": o.Revision, "go": runtime.Version()})
	if m.err != nil {
		return nil, fmt.Errorf("telemetry: %w", m.err)
	}
	t.begin(o.Sources)
	if o.Traces != nil {
		if t.traces, err = newTraces(o, t.SpansLost); err != nil {
			return nil, err
		}
		t.tracer = t.traces.Tracer("portico")
	}
	return t, nil
}

// Metrics gives all numbers in the text format of Prometheus. It asks for no
// credential: that is for whoever mounts it.
func (t *Telemetry) Metrics() http.Handler {
	if t == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Meter is for parts that have numbers of their own, such as a pool. Their labels
// must come from lists as closed as those here.
func (t *Telemetry) Meter() metric.Meter {
	if t == nil {
		return nil
	}
	return t.metrics.Meter("portico")
}

// Close sends what is left, for as long as ctx lasts.
func (t *Telemetry) Close(ctx context.Context) error {
	if t == nil || t.traces == nil {
		return nil // numbers are fetched, not sent
	}
	if err := t.traces.Shutdown(ctx); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	return nil
}
