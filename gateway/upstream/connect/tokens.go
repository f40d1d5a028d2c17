package connect

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/portico-fhir/portico/internal/fault"
)

// What bounds how often a token endpoint is asked, and for how long.
const (
	fetchTimeout  = 15 * time.Second
	firstBackoff  = time.Second
	maxBackoff    = time.Minute
	refusedEvery  = 30 * time.Second // a 401 makes us ask for another token no more often
	unstatedAge   = 5 * time.Minute  // of a token that does not say (RFC 6749 §5.1)
	tokenMargin   = 5 * time.Second  // a token is not used so shortly before its end
	renewFraction = 5                // the last fifth of its life is for getting the next
)

// Issued is a token as the endpoint gave it.
type Issued struct {
	Value    string        // of the Authorization header
	Lifetime time.Duration // from now; 0: not said
}

// Fetcher gets a token. Its error may hold what the endpoint said: it goes no
// further than Report. A RetryAfter in it is obeyed.
type Fetcher func(ctx context.Context) (Issued, error)

// TokensOptions configures Tokens.
type TokensOptions struct {
	Fetch  Fetcher
	Now    func() time.Time // time.Now when nil
	Report func(error)      // is told of each failure, for the log; nil: nobody is
}

// Tokens is a Credential that lasts for a while and is renewed before it ends, by
// one renewal at a time. Meanwhile the old one is used as long as it is good.
type Tokens struct {
	o      TokensOptions
	flight singleflight.Group

	mu       sync.Mutex
	current  Issued
	ends     time.Time // not used from then on
	renew    time.Time // another is asked for from then on
	notUntil time.Time // nobody asks before, after a failure
	failures int
	forced   time.Time // when a 401 last made us ask
	life     context.Context
	end      context.CancelFunc
}

var _ Credential = (*Tokens)(nil)

// NewTokens makes a Tokens that has none yet. Close ends what it does.
func NewTokens(o TokensOptions) (*Tokens, error) {
	if o.Fetch == nil {
		return nil, errors.New("connect: Fetch is required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	t := &Tokens{o: o}
	t.life, t.end = context.WithCancel(context.Background())
	return t, nil
}

// Close gives up a renewal under way.
func (t *Tokens) Close() { t.end() }

// Authorization implements Credential.
func (t *Tokens) Authorization(ctx context.Context) (string, error) {
	now := t.o.Now()
	t.mu.Lock()
	value, good, due := t.current.Value, now.Before(t.ends), !now.Before(t.renew)
	wait := t.notUntil.Sub(now)
	t.mu.Unlock()
	switch {
	case good && (!due || wait > 0):
		return value, nil
	case good:
		t.begin() // and nobody waits for it
		return value, nil
	case wait > 0:
		return "", unavailable(wait)
	}
	select {
	case got := <-t.begin():
		if got.Err != nil {
			return "", unavailable(t.waitNow())
		}
		value, _ := got.Val.(string)
		return value, nil
	case <-ctx.Done():
		return "", fault.Wrap(errors.New("connect: the caller did not wait for a token"), fault.Unavailable, signInFailed)
	}
}

const signInFailed = "The record system cannot be asked now."

func unavailable(wait time.Duration) error {
	return &fault.Error{Kind: fault.Unavailable, Public: signInFailed, RetryAfter: max(wait, time.Second), Err: errors.New("connect: there is no token for this EHR")}
}

func (t *Tokens) waitNow() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.notUntil.Sub(t.o.Now())
}

// Refused implements Credential. An EHR that refuses every token must not make us
// ask for one with each request.
func (t *Tokens) Refused(value string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	switch {
	case value != t.current.Value:
		return now.Before(t.ends) // there is another already
	case t.ends.IsZero():
		return true // another is on its way
	case !t.forced.IsZero() && now.Sub(t.forced) < refusedEvery:
		return false
	}
	t.forced = now
	t.ends, t.renew = time.Time{}, time.Time{}
	return true
}

// begin joins the renewal under way or starts one. It belongs to no caller: one
// that goes away must not end it for the others.
func (t *Tokens) begin() <-chan singleflight.Result {
	return t.flight.DoChan("", func() (any, error) {
		t.mu.Lock()
		if now := t.o.Now(); now.Before(t.renew) && now.Before(t.ends) { // the one before us has it
			defer t.mu.Unlock()
			return t.current.Value, nil
		}
		t.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.life, fetchTimeout)
		defer cancel()
		got, err := t.o.Fetch(ctx)
		if err == nil {
			err = usable(got)
		}
		return t.keep(got, err)
	})
}

func usable(got Issued) error {
	switch {
	case got.Value == "":
		return errors.New("connect: the token endpoint gave no token")
	case got.Lifetime < 0:
		return errors.New("connect: the token endpoint gave a token that has ended")
	}
	return nil
}

// keep takes what a renewal gave. A failure leaves the token there is.
func (t *Tokens) keep(got Issued, err error) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	if err != nil {
		t.failures++
		pause := min(firstBackoff<<min(t.failures-1, 10), maxBackoff)
		pause += time.Duration(rand.Int64N(int64(pause)/4 + 1)) //nolint:gosec // spreads retries, keeps no secret
		t.notUntil = now.Add(min(max(pause, fault.RetryAfterOf(err)), 10*maxBackoff))
		if t.life.Err() == nil {
			t.o.Report(err)
		}
		return "", err
	}
	if got.Lifetime == 0 {
		got.Lifetime = unstatedAge
	}
	t.current, t.failures, t.notUntil = got, 0, time.Time{}
	t.ends = now.Add(got.Lifetime - min(tokenMargin, got.Lifetime/2))
	t.renew = now.Add(got.Lifetime - got.Lifetime/renewFraction)
	if t.renew.After(t.ends) {
		t.renew = t.ends
	}
	return got.Value, nil
}
