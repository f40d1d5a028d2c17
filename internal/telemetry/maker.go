package telemetry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// maker makes instruments and keeps what went wrong for the end.
type maker struct {
	meter metric.Meter
	err   error
}

func (m *maker) note(err error) { m.err = errors.Join(m.err, err) }

func (m *maker) counter(name, help string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithDescription(help))
	m.note(err)
	return c
}

func (m *maker) running(name, help string) metric.Int64UpDownCounter {
	c, err := m.meter.Int64UpDownCounter(name, metric.WithDescription(help))
	m.note(err)
	return c
}

// seconds are from a cache hit to an EHR that hardly answers.
func (m *maker) seconds(name, help string) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithDescription(help), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
	m.note(err)
	return h
}

func (m *maker) gauge(name, help string) metric.Int64Gauge {
	g, err := m.meter.Int64Gauge(name, metric.WithDescription(help))
	m.note(err)
	return g
}

func (m *maker) observed(name, help string) metric.Int64ObservableGauge {
	g, err := m.meter.Int64ObservableGauge(name, metric.WithDescription(help))
	m.note(err)
	return g
}

func (m *maker) constant(name, help string, labels map[string]string) {
	var attrs []attribute.KeyValue
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		attrs = append(attrs, attribute.String(name, labels[name]))
	}
	m.gauge(name, help).Record(context.Background(), 1, metric.WithAttributes(attrs...))
}

// labels keeps the attribute sets of a key that occurs again and again, so that
// a request does not build them anew. Its size is bounded by its keys, which hold
// words of closed lists alone.
type labels[K comparable] struct {
	mu   sync.RWMutex
	sets map[K]metric.MeasurementOption
	of   func(K) []attribute.KeyValue
}

func newLabels[K comparable](of func(K) []attribute.KeyValue) *labels[K] {
	return &labels[K]{sets: map[K]metric.MeasurementOption{}, of: of}
}

func (l *labels[K]) get(key K) metric.MeasurementOption {
	l.mu.RLock()
	set, ok := l.sets[key]
	l.mu.RUnlock()
	if ok {
		return set
	}
	set = metric.WithAttributeSet(attribute.NewSet(l.of(key)...))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets[key] = set
	return set
}
