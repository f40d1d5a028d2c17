package main

import (
	"errors"
	"net/http"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/connect"
	"github.com/portico-fhir/portico/gateway/upstream/resilience"
)

// outside asks the places where attachments lie that get no credentials. Each is
// a server of its own: one that is down or slow is left alone, and neither the EHR
// nor another place is.
type outside []outsidePlace

type outsidePlace struct {
	base fhir.Base
	next *resilience.Transport
}

var (
	_ http.RoundTripper = outside(nil)

	errNoPlace = errors.New("portico: a URL at no listed place")
)

// RoundTrip implements http.RoundTripper.
func (o outside) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, p := range o {
		if upstream.Within(p.base, r.URL.String()) {
			return p.next.RoundTrip(r)
		}
	}
	return nil, errNoPlace
}

// CloseIdleConnections lets http.Client close those of all places.
func (o outside) CloseIdleConnections() {
	for _, p := range o {
		p.next.CloseIdleConnections()
	}
}

// outside makes the way to the places of a source that get no credentials. The
// limits are those of the source, for each place by itself; per_second is the
// EHR's alone. Neither the certificate nor the authority of the EHR is for them.
func (w *wiring) outside(s config.Source, base fhir.Base, places []fhir.Base) (outside, error) {
	var out outside
	for i, a := range s.Attachments {
		if a.Credentials {
			continue
		}
		seen, err := w.watched(s.ID, base, connect.NewTransport(s.Timeout, nil))
		if err != nil {
			return nil, err
		}
		limits := limitsOf(s)
		limits.Next = seen
		way, err := resilience.New(limits)
		if err != nil {
			return nil, err
		}
		out = append(out, outsidePlace{places[i], way})
	}
	return out, nil
}

// limitsOf are the limits of a source but for how often it may be asked.
func limitsOf(s config.Source) resilience.Options {
	return resilience.Options{
		Retries: max(s.Limits.Attempts-1, 0), Patience: s.Timeout, Hedge: s.Limits.HedgeAfter, Total: s.Limits.Total,
		Concurrent: s.Limits.Concurrent, PerParty: s.Limits.PerApp, Wait: s.Limits.Wait, Breaker: resilience.Breaker{Open: s.Limits.OpenFor},
	}
}
