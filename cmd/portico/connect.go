package main

import (
	"net/http"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream/connect"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/rate"
)

// connect makes the connector to one source's EHR: what asks, then what bounds
// and repeats, then what signs in and connects. Nothing of it is another source's.
func (w *wiring) connect(s config.Source, base fhir.Base) (*fhirserver.Server, error) {
	seen, err := w.watched(s.ID, base, connect.NewTransport(s.Timeout, nil))
	if err != nil {
		return nil, err
	}
	ways, err := resilience.New(resilience.Options{
		Next:    seen,
		Retries: s.Limits.Attempts - 1, Patience: s.Timeout, Hedge: s.Limits.HedgeAfter, Total: s.Limits.Total,
		Concurrent: s.Limits.Concurrent, Wait: s.Limits.Wait,
		Rate:    rate.Limit{PerSecond: float64(s.Limits.PerSecond), Burst: s.Limits.Burst},
		Breaker: resilience.Breaker{Open: s.Limits.OpenFor},
	})
	if err != nil {
		return nil, err
	}
	w.ways[s.ID] = ways
	return fhirserver.New(fhirserver.Options{Base: base, Authorize: credentials(s.Auth), Timeout: s.Timeout, Transport: ways})
}

// credentials adds what a source's EHR asks for to each request.
func credentials(a config.Auth) func(*http.Request) {
	switch a.Type {
	case config.AuthBasic:
		return func(r *http.Request) { r.SetBasicAuth(a.Username, a.Password.Reveal()) }
	case config.AuthBearer:
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+a.Token.Reveal()) }
	default:
		return nil
	}
}
