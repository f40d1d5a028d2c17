// Package resilience stands between a connector and an EHR that is slow, down or
// overrun: it bounds how many requests the EHR gets at once and a second, asks
// again where that is safe, and stops asking while nothing comes back. It is an
// http.RoundTripper for one source and shares nothing with another's. It must not
// know FHIR, patients or credentials.
package resilience

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/rate"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// ErrLocal is wrapped by errors of Next that say nothing about the EHR, such as a
// token endpoint that is down: they are neither retried nor held against it.
var ErrLocal = errors.New("resilience: not the EHR's failure")

// Options configures a Transport. Zero values mean what is written beside them.
type Options struct {
	Next http.RoundTripper // required: connects, with time-outs to the answer's headers

	Retries    int           // of a GET or HEAD, at most; 0: none
	RetryAfter time.Duration // the first pause before a retry; 0: 100 ms. It doubles, with jitter
	Patience   time.Duration // no retry begins later than this after the first attempt; 0: 30 s
	Hedge      time.Duration // a GET not answered by then is sent a second time; 0: never
	Total      time.Duration // for an answer with its whole body, retries included; 0: 5 min

	Concurrent int           // requests at once, slow readers of their answers included; 0: 64
	PerParty   int           // of them for one party (reqctx.Party); 0: all
	Wait       time.Duration // for a free place, a token, or the end of a pause; 0: 2 s
	Rate       rate.Limit    // of requests; zero: none
	Turns      Turns         // within Rate, counted by whoever else asks the EHR too; nil: counted here

	Breaker Breaker

	Now func() time.Time // of pauses, rates and State; nil: time.Now
}

// Turns gives requests to an EHR their turns, in the order in which they are asked
// for.
type Turns interface {
	// Reserve takes a turn that comes after wait, if that is no more than most: ok
	// says so. Otherwise none is taken, and there is none for wait. An error says
	// that it cannot be told; none is taken then.
	Reserve(ctx context.Context, most time.Duration) (wait time.Duration, ok bool, err error)
}

// counted are turns that are counted here.
type counted struct {
	bucket *rate.Bucket
	now    func() time.Time
}

// Reserve implements Turns; it never fails.
func (c counted) Reserve(_ context.Context, most time.Duration) (time.Duration, bool, error) {
	wait, ok := c.bucket.Reserve(c.now(), most)
	return wait, ok, nil
}

// Breaker says when the EHR is left alone. Connection failures, time-outs and
// 5xx but 501 are failures; 4xx are answers. Each party has one like it of its own,
// so that one that provokes failures stops itself and not the others: see parties.
type Breaker struct {
	Off      bool
	Rate     float64       // share of failures that opens it; 0: 0.5
	Requests int           // that must have been made in Window before; 0: 10
	Window   time.Duration // 0: 30 s
	Open     time.Duration // until somebody tries again, more or less a quarter; 0: 5 s
}

func (o *Options) fillIn() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.RetryAfter, 100*time.Millisecond)
	def(&o.Patience, 30*time.Second)
	def(&o.Total, 5*time.Minute)
	def(&o.Wait, 2*time.Second)
	def(&o.Breaker.Window, 30*time.Second)
	def(&o.Breaker.Open, 5*time.Second)
	if o.Concurrent == 0 {
		o.Concurrent = 64
	}
	if o.PerParty == 0 {
		o.PerParty = o.Concurrent
	}
	if o.Breaker.Rate == 0 {
		o.Breaker.Rate = 0.5
	}
	if o.Breaker.Requests == 0 {
		o.Breaker.Requests = 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Transport is what one source's requests pass through.
type Transport struct {
	o       Options
	guard   *policies
	shares  *shares
	parties *parties
	pause   pause
	crowd   crowd
	health  health
	repeats http.RoundTripper // attempt, with retries and hedging
}

var _ http.RoundTripper = (*Transport)(nil)

// New checks the options.
func New(o Options) (*Transport, error) {
	o.fillIn()
	switch {
	case o.Next == nil:
		return nil, errors.New("resilience: Next is required")
	case o.Retries < 0 || o.Concurrent < 0 || o.PerParty < 0 || o.Hedge < 0 || o.Wait < 0 || o.Total < 0:
		return nil, errors.New("resilience: limits must not be negative")
	case o.Breaker.Rate < 0 || o.Breaker.Rate > 1 || o.Breaker.Requests < 1:
		return nil, errors.New("resilience: the breaker needs a share between 0 and 1 of at least one request")
	}
	if o.Turns == nil {
		o.Turns = counted{bucket: rate.NewBucket(o.Rate), now: o.Now}
	}
	t := &Transport{o: o, shares: newShares(o.PerParty), crowd: crowd{own: rate.NewBucket(o.Rate)}}
	t.guard = newPolicies(o)
	t.parties = newParties(o, t.guard.breaker)
	t.repeats = t.guard.repeating(roundTripper(t.attempt), o.Wait)
	return t, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// RoundTrip implements http.RoundTripper. What is refused here is a fault of kind
// Unavailable or TooMany with RetryAfter; everything else is as Next gave it. The
// body of an answer must be closed: until then it holds its place.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, end := context.WithTimeout(req.Context(), t.o.Total)
	ask := t.attempt
	if repeatable(req) {
		ask = t.repeats.RoundTrip
	}
	resp, err := ask(req.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	resp.Body = &endBody{ReadCloser: resp.Body, end: end}
	return resp, nil
}

// CloseIdleConnections is for http.Client.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.o.Next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// repeatable says that asking twice does no harm and needs no body kept: never a
// write (RFC 9110 §9.2.2 has PUT and DELETE idempotent, but a version that
// somebody else made in between would be lost).
func repeatable(req *http.Request) bool {
	return (req.Method == http.MethodGet || req.Method == http.MethodHead) && (req.Body == nil || req.Body == http.NoBody)
}

// attempt asks the EHR once.
func (t *Transport) attempt(req *http.Request) (*http.Response, error) {
	pass, err := t.admit(req.Context())
	if err != nil {
		return nil, err
	}
	begun := t.o.Now()
	resp, err := t.o.Next.RoundTrip(req)
	if err != nil {
		t.failed(req.Context(), pass, err, t.o.Now().Sub(begun))
		pass.release()
		return nil, err //nolint:wrapcheck // callers tell a net.Error by its type
	}
	t.answered(pass, resp, t.o.Now().Sub(begun))
	if setback(resp.StatusCode) {
		discard(resp)
		pass.release()
		return resp, nil
	}
	resp.Body = t.hold(req.Context(), pass, resp.Body)
	return resp, nil
}

// setback says that a status may be gone in a moment; such answers keep no body.
func setback(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// admit waits, within bounds, until the EHR may be asked.
func (t *Transport) admit(ctx context.Context) (*pass, error) {
	if err := t.pause.wait(ctx, t.o.Now, t.o.Wait); err != nil {
		return nil, err
	}
	party := reqctx.Party(ctx)
	if err := t.parties.closed(party); err != nil {
		return nil, err
	}
	leave, err := t.place(ctx)
	if err != nil {
		return nil, err
	}
	p := &pass{release: t.health.enter(leave)}
	if err := t.turn(ctx); err != nil {
		p.release()
		return nil, err
	}
	if p.permit, err = t.parties.admit(party); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// place waits for one of the party's places, and then for one of all.
func (t *Transport) place(ctx context.Context) (leave func(), err error) {
	end := time.Now().Add(t.o.Wait)
	part, err := t.shares.enter(ctx, reqctx.Party(ctx), t.o.Wait)
	if err != nil {
		return nil, err
	}
	if err := t.guard.place(ctx, max(time.Until(end), 0)); err != nil {
		part()
		return nil, err
	}
	return func() { t.guard.leave(); part() }, nil
}

// turn waits for the request's own within the rate.
func (t *Transport) turn(ctx context.Context) error {
	wait, ok, err := t.o.Turns.Reserve(ctx, t.o.Wait)
	t.crowd.note(t.o.Now(), wait)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() //nolint:wrapcheck // net/http gives it as it is, too
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "The request cannot be counted now.")
	case !ok:
		return fault.Later(fault.TooMany, wait, "The record system gets as many requests as it may now.")
	}
	return sleep(ctx, wait)
}

func errOpen(left time.Duration) error {
	return fault.Later(fault.Unavailable, max(left, time.Second), "The record system does not answer; it is left alone for a moment.")
}

// errOpenFor refuses one party.
func errOpenFor(left time.Duration) error {
	return fault.Later(fault.Unavailable, max(left, time.Second), "The record system fails at what this app asks; it is left alone for a moment.")
}

// sleep waits for d unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // net/http gives it as it is, too
	}
}
