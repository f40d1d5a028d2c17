package resilience

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/fetch"
)

// policies is all that failsafe-go does here; no other file knows it.
type policies struct {
	o       Options
	breaker circuitbreaker.CircuitBreaker[any] // nil: off
	places  bulkhead.Bulkhead[any]
}

// probes is how many requests in a row must succeed before the breaker closes,
// and how many may be on their way until then.
const probes = 2

func newPolicies(o Options) *policies {
	p := &policies{o: o, places: bulkhead.New[any](uint(o.Concurrent))}
	if !o.Breaker.Off {
		// No listeners: with one the breaker lets go of its lock in the middle of
		// a change of state.
		p.breaker = circuitbreaker.NewBuilder[any]().
			WithFailureRateThreshold(o.Breaker.Rate, uint(o.Breaker.Requests), o.Breaker.Window).
			WithSuccessThreshold(probes).
			WithDelay(o.Breaker.Open).WithJitterFactor(0.25).
			Build()
	}
	return p
}

// repeating puts retries and hedging around next.
//
//nolint:bodyclose // policies over responses, no responses
func (p *policies) repeating(next http.RoundTripper, short time.Duration) http.RoundTripper {
	var around []failsafe.Policy[*http.Response]
	if p.o.Retries > 0 {
		around = append(around, retrypolicy.NewBuilder[*http.Response]().
			HandleIf(func(resp *http.Response, err error) bool { return p.worthRetry(resp, err, short) }).
			WithMaxRetries(p.o.Retries).WithMaxDuration(p.o.Patience).ReturnLastFailure().
			WithBackoff(p.o.RetryAfter, 20*p.o.RetryAfter).WithJitterFactor(0.5).
			Build())
	}
	if p.o.Hedge > 0 {
		around = append(around, hedgepolicy.NewBuilderWithDelay[*http.Response](p.o.Hedge).
			CancelIf(func(resp *http.Response, err error) bool { return err == nil && !setback(resp.StatusCode) }).
			Build())
	}
	if len(around) == 0 {
		return next
	}
	return failsafehttp.NewRoundTripper(next, around...)
}

// worthRetry says that the same request could well succeed in a moment. One that
// the EHR did not answer in time is not sent again: it may be at work on it.
func (p *policies) worthRetry(resp *http.Response, err error, short time.Duration) bool {
	if p.closedFor() > 0 {
		return false
	}
	if err != nil {
		return connectionLost(err)
	}
	if !setback(resp.StatusCode) {
		return false
	}
	asked := min(fetch.RetryAfter(resp.Header, p.o.Now()), maxPause)
	if resp.StatusCode == http.StatusTooManyRequests && asked == 0 {
		return false
	}
	return asked <= short // the pause itself is kept by everybody, see admit
}

// connectionLost tells broken connections from everything that would be the same
// the next time.
func connectionLost(err error) bool {
	var ours *fault.Error
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var dial *net.OpError
	var late net.Error
	switch {
	case errors.As(err, &ours), errors.Is(err, ErrLocal), errors.As(err, &cert), errors.As(err, &alert):
		return false
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &dial) && dial.Op == "dial":
		return true
	case errors.As(err, &late) && late.Timeout():
		return false
	}
	return true
}

// closedFor gives how long the EHR is left alone still.
func (p *policies) closedFor() time.Duration {
	if p.breaker == nil {
		return 0
	}
	return p.breaker.RemainingDelay()
}

// admit asks the breaker; probe says that it wants to know how this one ends.
func (p *policies) admit() (probe bool, err error) {
	if p.breaker == nil {
		return false, nil
	}
	if !p.breaker.TryAcquirePermit() {
		return false, errOpen(p.breaker.RemainingDelay())
	}
	return p.breaker.IsHalfOpen(), nil
}

// place waits for a free place.
func (p *policies) place(ctx context.Context, most time.Duration) error {
	err := p.places.AcquirePermitWithMaxWait(ctx, most)
	if errors.Is(err, bulkhead.ErrFull) {
		return fault.Later(fault.Unavailable, time.Second, "The record system is busy with other requests.")
	}
	return err //nolint:wrapcheck // the context's own
}

// leave gives the place back.
func (p *policies) leave() { p.places.ReleasePermit() }

// learn tells the breaker how a request ended. What began before it opened says
// nothing about the EHR now.
func (p *policies) learn(good, probe bool) {
	switch {
	case p.breaker == nil, p.breaker.IsHalfOpen() && !probe:
	case good:
		p.breaker.RecordSuccess()
	default:
		p.breaker.RecordFailure()
	}
}

// forget gives back what a probe took that taught nothing. The breaker has no way
// to do that for one, so all of them begin anew.
func (p *policies) forget(probe bool) {
	if p.breaker != nil && probe && p.breaker.IsHalfOpen() {
		p.breaker.Open()
		p.breaker.HalfOpen()
	}
}

// state gives the breaker's state in a word, and what it has counted.
func (p *policies) state() (word string, requests, failures uint) {
	if p.breaker == nil {
		return "off", 0, 0
	}
	m := p.breaker.Metrics()
	return p.breaker.State().String(), m.Executions(), m.Failures()
}
