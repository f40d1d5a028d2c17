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

// policies and breaker are all that failsafe-go does here; no other file knows it.
type policies struct {
	o       Options
	breaker *breaker
	places  bulkhead.Bulkhead[any]
}

func newPolicies(o Options) *policies {
	return &policies{o: o, breaker: newBreaker(o.Breaker), places: bulkhead.New[any](uint(o.Concurrent))}
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
	if p.breaker.closedFor() > 0 {
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

// probes is how many requests in a row must succeed before a breaker closes, and
// how many may be on their way until then.
const probes = 2

// breaker is nil when it is off.
type breaker struct {
	b circuitbreaker.CircuitBreaker[any]
}

func newBreaker(o Breaker) *breaker {
	if o.Off {
		return nil
	}
	// No listeners: with one it lets go of its lock in the middle of a change of
	// state.
	return &breaker{circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(o.Rate, uint(o.Requests), o.Window).
		WithSuccessThreshold(probes).
		WithDelay(o.Open).WithJitterFactor(0.25).
		Build()}
}

// closedFor gives how long nothing is asked still.
func (b *breaker) closedFor() time.Duration {
	if b == nil {
		return 0
	}
	return b.b.RemainingDelay()
}

// admit says whether one more may be asked; probe says that the breaker wants to
// know how this one ends.
func (b *breaker) admit() (probe, ok bool) {
	if b == nil {
		return false, true
	}
	if !b.b.TryAcquirePermit() {
		return false, false
	}
	return b.b.IsHalfOpen(), true
}

// learn tells how a request ended. What began before the breaker opened says
// nothing about now.
func (b *breaker) learn(good, probe bool) {
	switch {
	case b == nil, b.b.IsHalfOpen() && !probe:
	case good:
		b.b.RecordSuccess()
	default:
		b.b.RecordFailure()
	}
}

// forget gives back what a probe took that taught nothing. There is no way to do
// that for one, so all of them begin anew.
func (b *breaker) forget(probe bool) {
	if b != nil && probe && b.b.IsHalfOpen() {
		b.b.Open()
		b.b.HalfOpen()
	}
}

// The states that are told.
const (
	stateOff      = "off"
	stateClosed   = "closed"
	stateHalfOpen = "half-open"
	stateOpen     = "open"
)

// reading is what a breaker tells of itself.
type reading struct {
	word               string
	openFor            time.Duration
	requests, failures uint
}

func (b *breaker) read() reading {
	if b == nil {
		return reading{word: stateOff}
	}
	m := b.b.Metrics()
	return reading{b.b.State().String(), b.closedFor(), m.Executions(), m.Failures()}
}

// with adds another's: whoever lets something through soonest counts.
func (r reading) with(other reading) reading {
	r.requests, r.failures = r.requests+other.requests, r.failures+other.failures
	if other.word == stateHalfOpen {
		r.word = stateHalfOpen
	}
	r.openFor = min(r.openFor, other.openFor)
	return r
}
