package main

import (
	"context"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/budget"
	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/rate"
)

// openBudget decides where is counted how often something is done: by all replicas
// together when there is Redis, and by each for itself while it is away.
func (w *wiring) openBudget() error {
	alone := budget.NewMemory(nil)
	if w.redis == nil {
		w.budget = alone
		return nil
	}
	names, err := w.ring.Derive("budget names")
	if err != nil {
		return err
	}
	together, err := budget.NewRedis(w.redis, names[0])
	if err != nil {
		return err
	}
	w.budget = budget.NewFallback(together, alone, w.log)
	return nil
}

// limits are how often apps may ask.
func (w *wiring) limits() gateway.Limits {
	limit := func(b config.Budget) rate.Limit {
		return rate.Limit{PerSecond: float64(b.PerSecond), Burst: b.Burst}
	}
	return gateway.Limits{Budget: w.budget, PerApp: limit(w.cfg.Limits.PerApp), PerPatient: limit(w.cfg.Limits.PerPatient)}
}

// turns are how often one source's EHR may be asked.
type turns struct {
	budget budget.Budget
	key    string
	limit  rate.Limit
}

var _ resilience.Turns = (*turns)(nil)

// turns gives nil where each process may count for itself.
func (w *wiring) turns(s config.Source) resilience.Turns {
	limit := rate.Limit{PerSecond: float64(s.Limits.PerSecond), Burst: s.Limits.Burst}
	if w.redis == nil || limit.None() {
		return nil
	}
	return &turns{budget: w.budget, key: "source\x00" + s.ID, limit: limit}
}

// Reserve implements resilience.Turns.
func (t *turns) Reserve(ctx context.Context, most time.Duration) (wait time.Duration, ok bool, err error) {
	return t.budget.Reserve(ctx, t.key, t.limit, most)
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
