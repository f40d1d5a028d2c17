package main

import (
	"net/http"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/budget"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/rate"
)

// limits are how often apps may ask: of all replicas together when there is Redis,
// and of each by itself while it is away.
func (w *wiring) limits() (gateway.Limits, error) {
	limit := func(b config.Budget) rate.Limit {
		return rate.Limit{PerSecond: float64(b.PerSecond), Burst: b.Burst}
	}
	out := gateway.Limits{
		Budget: budget.NewMemory(nil), PerApp: limit(w.cfg.Limits.PerApp), PerPatient: limit(w.cfg.Limits.PerPatient),
	}
	if w.redis == nil {
		return out, nil
	}
	names, err := w.ring.Derive("budget names")
	if err != nil {
		return out, err
	}
	together, err := budget.NewRedis(w.redis, names[0])
	if err != nil {
		return out, err
	}
	out.Budget = budget.NewFallback(together, out.Budget, w.log)
	return out, nil
}

// shed puts the limit of requests at once around the routes.
func (w *wiring) shed(next http.Handler) http.Handler {
	if w.cfg.Limits.Concurrent == 0 { // a configuration that no file gave, as the demo's
		return next
	}
	return handler.Shed(handler.Shedding{Next: next, Most: w.cfg.Limits.Concurrent, Exempt: alwaysServed, Refuse: gateway.Overloaded})
}

// alwaysServed is what tells that Portico is there, and what it is: an orchestrator
// that gets no answer would end a process that is merely busy.
func alwaysServed(r *http.Request) bool {
	return r.URL.Path == "/livez" || r.URL.Path == "/readyz" || gateway.Describes(r.URL.Path)
}
