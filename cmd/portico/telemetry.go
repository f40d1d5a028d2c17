package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/upstream/observe"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/telemetry"
)

// newTelemetry makes what parts report to.
func newTelemetry(cfg *config.Config, log *slog.Logger) (*telemetry.Telemetry, error) {
	o := telemetry.Options{Version: version, Revision: revision(), IsType: search.IsResourceType, Log: log}
	for _, s := range cfg.Sources {
		o.Sources = append(o.Sources, s.ID)
	}
	if t := cfg.Telemetry; t.TracesEndpoint != "" {
		o.Traces = &telemetry.Traces{Endpoint: t.TracesEndpoint, Headers: map[string]string{}, Ratio: float64(t.TracesPercent) / 100}
		for _, h := range t.TracesHeaders {
			o.Traces.Headers[h.Name] = h.Value.Reveal()
		}
	}
	return telemetry.New(o)
}

// revision is the commit this was built from, "" when nobody knows.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return setting.Value[:12]
		}
	}
	return ""
}

// watched counts and times what a transport asks of a source's EHR.
func (w *wiring) watched(source string, base fhir.Base, next http.RoundTripper) (http.RoundTripper, error) {
	return observe.New(observe.Options{Source: source, Base: base, Next: next, IsType: search.IsResourceType, Telemetry: w.telemetry})
}

// fromProxy says whether a request comes from a proxy whose word is taken.
func fromProxy(trusted proxies) func(*http.Request) bool {
	return func(r *http.Request) bool {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		return err == nil && trusted.trusted(peer.Addr().Unmap().WithZone(""))
	}
}

// countedSink is an audit.Sink whose writes are counted.
type countedSink struct {
	audit.Sink
	telemetry *telemetry.Telemetry
}

var _ audit.Sink = countedSink{}

// Record implements audit.Sink.
func (s countedSink) Record(ctx context.Context, e audit.Event) error {
	err := s.Sink.Record(ctx, e)
	s.telemetry.Audited(ctx, err == nil)
	return err
}

// serveMetrics serves GET /metrics on a listener of its own until what it returns
// is called.
func serveMetrics(ctx context.Context, cfg *config.Config, a *app, log *slog.Logger) (func() error, error) {
	if cfg.Telemetry.MetricsListen == "" {
		return func() error { return nil }, nil
	}
	// Plain HTTP wherever the operator says: numbers about nobody.
	l, err := listen(ctx, listenOptions{Address: cfg.Telemetry.MetricsListen, InsecurePlainHTTP: true, Log: log.With("listener", "metrics"), Drain: sideDrain})
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", a.parts.telemetry.Metrics())
	h, err := handler.Wrap(handler.Options{
		Next: routes, Log: log.With("listener", "metrics"), Route: func(path string) string {
			if path == "/metrics" {
				return path
			}
			return "/{other}"
		},
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	log.Info("metrics are ready", "listen", l.Addr().String())
	return l.background(ctx, h), nil
}
