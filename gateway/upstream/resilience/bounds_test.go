package resilience_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/rate"
)

func TestABodyHoldsItsPlaceUntilItIsClosedOrGivenUp(t *testing.T) {
	e := begin(t, resilience.Options{Concurrent: 2, Wait: time.Millisecond}, says(200))
	var open []*http.Response
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := e.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	if _, _, err := e.get(http.MethodGet); fault.KindOf(err) != fault.Unavailable || fault.RetryAfterOf(err) == 0 || e.asked.Load() != 2 {
		t.Errorf("a third: %v, asked %d times", err, e.asked.Load())
	}
	if s := e.ways.State(); s.InFlight != 2 {
		t.Errorf("%+v", s)
	}
	_ = open[0].Body.Close()
	_ = open[0].Body.Close() // twice is once
	if _, _, err := e.get(http.MethodGet); err != nil {
		t.Errorf("after a close: %v", err)
	}
	cancel() // the other reader goes away without closing
	until(t, "all places free", func() bool { return e.ways.State().InFlight == 0 })
}

// atOnce is an EHR that counts how many it answers at the same time.
func atOnce() (most *atomic.Int64, serve http.HandlerFunc) {
	most = &atomic.Int64{}
	var now atomic.Int64
	return most, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		says(200)(w, r)
		now.Add(-1)
	}
}

func TestNoMoreThanItsPlacesAreEverUsed(t *testing.T) {
	most, counted := atOnce()
	e := begin(t, resilience.Options{Concurrent: 3, Wait: 20 * time.Second}, counted)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if status, _, err := e.get(http.MethodGet); status != 200 {
				t.Errorf("%d %v", status, err)
			}
		})
	}
	all.Wait()
	if most.Load() > 3 {
		t.Errorf("%d at once", most.Load())
	}
}

// clock is time that passes when told.
type clock struct {
	mu sync.Mutex
	t  time.Time
	n  int // how often it was looked at
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.t
}

func (c *clock) looks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestTheEHRsRetryAfterHoldsForAllOfTheSource(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		header func(*clock) string
		kind   fault.Kind
		most   time.Duration
	}{
		"429 in seconds":             {429, func(*clock) string { return "30" }, fault.TooMany, 30 * time.Second},
		"503 with a date":            {503, func(c *clock) string { return c.now().Add(30 * time.Second).UTC().Format(http.TimeFormat) }, fault.Unavailable, 31 * time.Second},
		"429 for ever, which is cut": {429, func(*clock) string { return "2000000000" }, fault.TooMany, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			c := &clock{t: time.Now()}
			var ask atomic.Bool
			ask.Store(true)
			e := begin(t, resilience.Options{Now: c.now, Retries: 2, RetryAfter: time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
				if ask.Load() {
					says(tt.status, "Retry-After", tt.header(c))(w, r)
					return
				}
				says(200)(w, r)
			})
			if status, body, err := e.get(http.MethodGet); status != tt.status || body != "" || err != nil {
				t.Fatalf("%d %q %v", status, body, err)
			}
			ask.Store(false)
			_, _, err := e.get(http.MethodGet)
			if wait := fault.RetryAfterOf(err); fault.KindOf(err) != tt.kind || wait <= 20*time.Second || wait > tt.most || e.asked.Load() != 1 {
				t.Fatalf("%v after %v, asked %d times", err, wait, e.asked.Load())
			}
			if s := e.ways.State(); s.PausedFor <= 0 {
				t.Errorf("%+v", s)
			}
			c.pass(tt.most)
			if status, _, err := e.get(http.MethodGet); status != 200 {
				t.Errorf("afterwards: %d %v", status, err)
			}
		})
	}
}

func TestNoMoreRequestsASecondThanAgreed(t *testing.T) {
	c := &clock{t: time.Now()}
	e := begin(t, resilience.Options{Now: c.now, Rate: rate.Limit{PerSecond: 2, Burst: 3}, Wait: time.Millisecond}, says(200))
	count := func() (n int) {
		for range 10 {
			_, _, err := e.get(http.MethodGet)
			if err == nil {
				n++
			} else if fault.KindOf(err) != fault.TooMany || fault.RetryAfterOf(err) != 500*time.Millisecond {
				t.Errorf("%v after %v", err, fault.RetryAfterOf(err))
			}
		}
		return n
	}
	if n := count(); n != 3 {
		t.Errorf("%d in a burst of 3", n)
	}
	c.pass(time.Second)
	if n := count(); n != 2 {
		t.Errorf("%d after a second", n)
	}
	c.pass(time.Hour)
	if n := count(); n != 3 {
		t.Errorf("%d after an hour", n)
	}
}

// turns answers each question for one with what it holds.
type turns struct {
	wait  time.Duration
	err   error
	asked int
	most  time.Duration
}

// Reserve implements resilience.Turns.
func (s *turns) Reserve(_ context.Context, most time.Duration) (time.Duration, bool, error) {
	s.asked++
	s.most = most
	return s.wait, s.wait <= most, s.err
}

func TestTurnsThatOthersTakeTooAreAskedForOnceEach(t *testing.T) {
	for name, tt := range map[string]struct {
		turns turns
		ok    bool
		kind  fault.Kind
		after time.Duration
	}{
		"it cannot be told":   {turns{err: errors.New("gone")}, false, fault.Unavailable, 0},
		"others were first":   {turns{wait: time.Hour}, false, fault.TooMany, time.Hour},
		"its turn comes soon": {turns{wait: time.Millisecond}, true, 0, 0},
		"it is its turn":      {turns{}, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := begin(t, resilience.Options{Turns: &tt.turns, Wait: time.Second, Rate: rate.Limit{PerSecond: 0.001, Burst: 1}}, says(200))
			for i := range 3 {
				_, _, err := e.get(http.MethodGet)
				if (err == nil) != tt.ok || err != nil && (fault.KindOf(err) != tt.kind || fault.RetryAfterOf(err) != tt.after) {
					t.Errorf("%v after %v", err, fault.RetryAfterOf(err))
				}
				if tt.turns.asked != i+1 || tt.turns.most != time.Second {
					t.Errorf("asked %d times, the last one for %v", tt.turns.asked, tt.turns.most)
				}
			}
			if n := e.asked.Load(); !tt.ok && n != 0 || tt.ok && n != 3 {
				t.Errorf("the EHR was asked %d times", n)
			}
			if n := e.ways.State().InFlight; n != 0 {
				t.Errorf("%d places are still taken", n)
			}
		})
	}
}
