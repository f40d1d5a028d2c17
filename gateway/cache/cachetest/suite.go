package cachetest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/seal"
)

// Tier is the state of Redis in which the suite runs.
type Tier struct {
	Redis redis.UniversalClient // nil: there is none
	Dead  bool                  // it does not answer: nothing may be kept
}

// The times that a Bench's cache has.
const (
	TTL     = time.Minute
	Stale   = 10 * time.Second // while it is fetched again
	IfError = 10 * time.Minute // while the upstream is down

	TokenLife = 5 * time.Minute // of the token of each request
)

// Bench is a cache over an Upstream, with a clock.
type Bench struct {
	T     testing.TB
	Cache *cache.Cache
	Up    *Upstream
	Clock *Clock
	// Active answers for the tokens of all patients; nil: none was revoked.
	Active func(context.Context) (bool, error)
}

// Ring is the ring of all Benches.
func Ring(t testing.TB, fill string) *seal.Ring {
	t.Helper()
	ring, err := seal.NewRing([]byte(strings.Repeat(fill, seal.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// NewBench makes one; change may change the options.
func NewBench(t testing.TB, tier Tier, change ...func(*cache.Options)) *Bench {
	t.Helper()
	b := &Bench{T: t, Up: &Upstream{Says: Bundle("first")}, Clock: NewClock()}
	o := cache.Options{
		Ring: Ring(t, "k"), Redis: tier.Redis, TTL: func(string, string) time.Duration { return TTL },
		StaleWhileRevalidate: Stale, StaleIfError: IfError, Memory: 8 << 20, MaxBody: 64 << 10, Now: b.Clock.Now,
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if b.Cache, err = cache.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Cache.Close)
	return b
}

// token is the one that a patient's app has.
func (b *Bench) token(patient string) cache.Token {
	return cache.Token{ID: "of " + patient, Until: b.Clock.Now().Add(TokenLife), Active: func(ctx context.Context) (bool, error) {
		if b.Active == nil {
			return true, nil
		}
		return b.Active(ctx)
	}}
}

// View opens the cache for a patient at source "ehr", with Cache-Control.
func (b *Bench) View(patient string, control ...string) *cache.View {
	return b.Cache.View(context.Background(), cache.Request{Source: "ehr", Patient: patient, Upstream: b.Up, Token: b.token(patient), Control: cache.ParseControl(control, nil)})
}

// Get makes one search and gives the body and the status.
func (b *Bench) Get(patient string, control ...string) (string, cache.Status, error) {
	v := b.View(patient, control...)
	a, err := v.Search(context.Background(), "Observation", "patient="+patient)
	if err != nil {
		return "", v.Status(), err
	}
	raw, err := io.ReadAll(a.Body)
	_ = a.Body.Close()
	return string(raw), v.Status(), err
}

// want makes a search whose answer must be as given, after so many requests to
// the upstream in total.
func (b *Bench) want(patient, text string, asked int, control ...string) cache.Status {
	b.T.Helper()
	body, status, err := b.Get(patient, control...)
	if err != nil || body != Bundle(text) {
		b.T.Fatalf("got %q, %v; want %s", body, err, text)
	}
	if got := len(b.Up.Asked()); asked >= 0 && got != asked {
		b.T.Fatalf("the upstream was asked %d times, want %d: %v", got, asked, b.Up.Asked())
	}
	return status
}

// Run runs the suite.
func Run(t *testing.T, open func(t *testing.T) Tier) {
	for name, row := range map[string]func(*Bench){
		"what is invalidated is not given again":               invalidated,
		"an invalidated source is not given again":             sourceInvalidated,
		"a fetch begun before a change is not kept after it":   fillAcrossChange,
		"other patients and sources get nothing of it":         apart,
		"errors and missing resources are not kept":            negative,
		"a broken answer is an error and is not kept":          broken,
		"half a document with a proper end is not kept":        truncated,
		"what is too large is streamed and not kept":           tooLarge,
		"no-store, no-cache and only-if-cached are honoured":   controlled,
		"many at once get the same bytes, whoever goes":        together,
		"a leader who goes leaves the others their answer":     leaderGoes,
		"nobody waiting ends the fetch":                        nobodyWaits,
		"a patient without a name gets nothing kept":           nobody,
		"an error is not hidden when nothing stale is allowed": notStale,
	} {
		t.Run(name, func(t *testing.T) { row(NewBench(t, open(t))) })
	}
	hits := map[string]func(*Bench){
		"the second request is a hit with the same headers": hit,
		"stale is given while it is fetched again":          staleWhile,
		"stale is given while the upstream is down":         staleIfError,
		"max-age bounds what is given":                      maxAge,
		"a read is kept once it is confirmed":               held,
		"released bytes end with the epoch and with time":   released,
		"a resource that is gone is forgotten":              gone,
	}
	for name, row := range hits {
		t.Run(name, func(t *testing.T) {
			tier := open(t)
			if tier.Dead {
				t.Skip("nothing is kept while Redis does not answer")
			}
			row(NewBench(t, tier))
		})
	}
}

func invalidated(b *Bench) {
	b.want("ann", "first", 1)
	b.Up.Say(Bundle("second"))
	err := b.Cache.Invalidate(context.Background(), "ehr", "ann")
	_ = err // with Redis dead it says so; nothing old may be given all the same
	b.want("ann", "second", 2)
}

func sourceInvalidated(b *Bench) {
	b.want("ann", "first", 1)
	b.Up.Say(Bundle("second"))
	_ = b.Cache.Invalidate(context.Background(), "ehr", "")
	b.want("ann", "second", 2)
}

func fillAcrossChange(b *Bench) {
	g := NewGate()
	b.Up.Do(g.Then(Bundle("before")))
	done := make(chan string)
	go func() {
		body, _, _ := b.Get("ann")
		done <- body
	}()
	<-g.Began
	b.Up.Say(Bundle("after"))
	_ = b.Cache.Invalidate(context.Background(), "ehr", "ann")
	b.want("ann", "after", 2) // does not join the fetch either
	g.Open()
	if got := <-done; got != Bundle("before") {
		b.T.Fatalf("who asked before got %q", got)
	}
	b.want("ann", "after", -1)
}

func apart(b *Bench) {
	b.want("ann", "first", 1)
	b.Up.Say(Bundle("bob's"))
	// Even the very same question: it is asked for somebody else.
	for _, who := range []cache.Request{{Source: "ehr", Patient: "bob", Upstream: b.Up}, {Source: "ehr2", Patient: "ann", Upstream: b.Up}, {Source: "ehrann", Upstream: b.Up}} {
		a, err := b.Cache.View(context.Background(), who).Search(context.Background(), "Observation", "patient=ann")
		if err != nil {
			b.T.Fatal(err)
		}
		raw, _ := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if string(raw) != Bundle("bob's") {
			b.T.Errorf("%s at %s got %s", who.Patient, who.Source, raw)
		}
	}
}

func negative(b *Bench) {
	for _, kind := range []fault.Kind{fault.NotFound, fault.Unavailable, fault.Upstream, fault.Invalid, fault.TooMany} {
		b.Up.Do(Failing(kind))
		if _, _, err := b.Get("ann"); fault.KindOf(err) != kind {
			b.T.Fatalf("%v instead of %v", err, kind)
		}
		before := len(b.Up.Asked())
		b.Up.Say(Bundle("there"))
		b.want("ann", "there", before+1)
		_ = b.Cache.Invalidate(context.Background(), "ehr", "ann")
	}
}

func broken(b *Bench) {
	b.Up.Do(Broken(`{"resourceType":"Bundle",`))
	if body, _, err := b.Get("ann"); err == nil {
		b.T.Fatalf("half an answer looked whole: %q", body)
	}
	b.Up.Say(Bundle("whole"))
	b.want("ann", "whole", 2)
}

func truncated(b *Bench) {
	for _, half := range []string{`{"resourceType":"Bundle","entry":[`, ``, `[]`, `<html>`, `{"resourceType":"Bundle"}{}`, `{"resourceType":"OperationOutcome"}`, `{}`} {
		b.Up.Say(half)
		if body, _, err := b.Get("ann"); err != nil || body != half {
			b.T.Fatalf("%q: %q %v", half, body, err)
		}
		before := len(b.Up.Asked())
		b.Up.Say(Bundle("whole"))
		b.want("ann", "whole", before+1)
		_ = b.Cache.Invalidate(context.Background(), "ehr", "ann")
	}
}

func tooLarge(b *Bench) {
	big := Bundle(strings.Repeat("x", 200<<10))
	b.Up.Say(big)
	for n := range 3 {
		body, _, err := b.Get("ann")
		if err != nil || body != big {
			b.T.Fatalf("%d bytes of %d, %v", len(body), len(big), err)
		}
		if got := len(b.Up.Asked()); got != n+1 {
			b.T.Fatalf("asked %d times after %d requests", got, n+1)
		}
	}
}

func controlled(b *Bench) {
	b.want("ann", "first", 1, "no-store")
	b.want("ann", "first", 2)
	b.Up.Say(Bundle("second"))
	b.want("ann", "second", 3, "no-cache")
	s := b.want("bob", "second", 4, "max-age=0, no-cache")
	if got := s.CacheStatus(); !strings.Contains(got, "fwd=request") && !strings.Contains(got, "fwd=bypass") {
		b.T.Error(got)
	}
	before := len(b.Up.Asked())
	if _, _, err := b.Get("carl", "only-if-cached"); fault.KindOf(err) != fault.UpstreamTimeout {
		b.T.Errorf("only-if-cached gave %v", err)
	}
	if len(b.Up.Asked()) != before {
		b.T.Error("only-if-cached asked the upstream")
	}
}

func together(b *Bench) {
	g := NewGate()
	b.Up.Do(g.Then(Bundle("first")))
	const many = 40
	var wg sync.WaitGroup
	for i := range many {
		ctx, cancel := context.WithCancel(context.Background())
		if i%4 == 1 {
			cancel() // gone before it began
		}
		wg.Go(func() {
			defer cancel()
			a, err := b.View("ann").Search(ctx, "Observation", "patient=ann")
			if err != nil {
				if ctx.Err() == nil {
					b.T.Errorf("failed: %v", err)
				}
				return
			}
			raw, err := io.ReadAll(a.Body)
			_ = a.Body.Close()
			if ctx.Err() == nil && (err != nil || string(raw) != Bundle("first")) {
				b.T.Errorf("got %q, %v", raw, err)
			}
		})
	}
	<-g.Began
	g.Open()
	wg.Wait()
}

func leaderGoes(b *Bench) {
	g := NewGate()
	b.Up.Do(g.Then(Bundle("first")))
	leader, leave := context.WithCancel(context.Background())
	defer leave()
	gone, got := make(chan error, 1), make(chan string, 1)
	go func() {
		_, err := b.View("ann").Search(leader, "Observation", "patient=ann")
		gone <- err
	}()
	<-g.Began
	go func() {
		body, _, err := b.Get("ann")
		got <- fmt.Sprint(body, err)
	}()
	// The follower has joined, or (nothing being shared) has asked by itself,
	// before the leader goes.
	Until(b.T, func() bool { return b.Cache.Waiting() >= 2 || len(b.Up.Asked()) == 2 })
	leave()
	if err := <-gone; err == nil {
		b.T.Error("the leader got an answer")
	}
	g.Open()
	if answer := <-got; answer != Bundle("first")+"<nil>" {
		b.T.Errorf("the follower got %s", answer)
	}
}

func nobodyWaits(b *Bench) {
	g := NewGate()
	b.Up.Do(g.Then(Bundle("first")))
	ctx, leave := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := b.View("ann").Search(ctx, "Observation", "patient=ann")
		done <- err
	}()
	<-g.Began
	leave()
	if err := <-done; err == nil {
		b.T.Error("an answer came although nobody was there")
	}
	Until(b.T, func() bool { return b.Cache.Waiting() == 0 })
	b.Up.Say(Bundle("second"))
	b.want("ann", "second", 2)
}

func nobody(b *Bench) {
	b.want("", "first", 1)
	b.want("", "first", 2)
}

func notStale(b *Bench) {
	b.want("ann", "first", 1)
	b.Clock.Pass(TTL + IfError)
	b.Up.Do(Down)
	if body, _, err := b.Get("ann"); fault.KindOf(err) != fault.Unavailable {
		b.T.Errorf("%q %v", body, err)
	}
}

// Until waits for a condition.
func Until(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
