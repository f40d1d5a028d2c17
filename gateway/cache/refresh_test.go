package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/services"
)

const (
	active = 4 * time.Minute       // less than a token lasts
	due    = cachetest.TTL * 3 / 4 // after it was fetched
)

// ahead gives a cache that refreshes when it is told to look.
func ahead(t testing.TB, tier cachetest.Tier, change ...func(*cache.Options)) *cachetest.Bench {
	t.Helper()
	return cachetest.NewBench(t, tier, append([]func(*cache.Options){func(o *cache.Options) {
		o.Refresh = cache.Refresh{Active: active, PerMinute: 1000, Every: time.Hour}
	}}, change...)...)
}

// asks says how often the upstream was asked since the last call of what it gives.
func asks(b *cachetest.Bench) func() int {
	last := len(b.Up.Asked())
	return func() int {
		was := last
		last = len(b.Up.Asked())
		return last - was
	}
}

func TestWhatAnActiveSessionReadsIsFetchedBeforeItExpires(t *testing.T) {
	b := ahead(t, cachetest.Tier{})
	fetch(t, b, "ann")
	n := asks(b)
	b.Clock.Pass(due - time.Second)
	if b.Cache.RefreshDue(); n() != 0 {
		t.Error("asked long before it expires")
	}
	for i := range 10 { // longer than the answer would have lasted
		b.Clock.Pass(due)
		text := fmt.Sprint("version ", i)
		b.Up.Say(cachetest.Bundle(text))
		if b.Cache.RefreshDue(); n() != 1 {
			t.Fatalf("%d: not asked once", i)
		}
		body, status, err := b.Get("ann")
		if err != nil || body != cachetest.Bundle(text) || !strings.Contains(status.CacheStatus(), "hit; ttl=60") || n() != 0 {
			t.Fatalf("%d: %q %s %v", i, body, status.CacheStatus(), err)
		}
	}
	// Nobody asks any more: it goes on for as long as the session counts as active.
	went := 0
	for passed := time.Duration(0); passed < 2*active; passed += due {
		b.Clock.Pass(due)
		b.Cache.RefreshDue()
		went += n()
	}
	if want := int((active - 1) / due); went != want {
		t.Errorf("asked %d times for somebody who went away, want %d", went, want)
	}
	if b.Cache.Remembered() != 0 {
		t.Error("what nobody reads is remembered")
	}
}

// Who is given the same bytes again and again is there, too.
func TestAnAnswerGivenAsItLeftKeepsTheSessionActive(t *testing.T) {
	b := ahead(t, cachetest.Tier{}, func(o *cache.Options) { o.TTL = func(string, string) time.Duration { return time.Hour } })
	v := b.View("ann")
	if err := drain(v.Search(t.Context(), "Observation", "patient=ann")); err != nil {
		t.Fatal(err)
	}
	v.Keep(cache.Released{Bytes: []byte("x")}, "q")
	n := asks(b)
	for range 18 { // 57 minutes
		b.Clock.Pass(active - time.Minute)
		if again := b.View("ann").Released("q"); again == nil { // it lives 15 minutes; then it is made again
			if err := drain(b.View("ann").Search(t.Context(), "Observation", "patient=ann")); err != nil {
				t.Fatal(err)
			}
			v := b.View("ann")
			_ = drain(v.Search(t.Context(), "Observation", "patient=ann"))
			v.Keep(cache.Released{Bytes: []byte("x")}, "q")
		}
		b.Clock.Pass(10 * time.Second)
		if b.View("ann").Released("q") == nil {
			t.Fatal("nothing is kept")
		}
	}
	b.Clock.Pass(2 * time.Minute) // less than a minute is left of the hour
	if b.Cache.RefreshDue(); n() != 1 {
		t.Error("not fetched ahead")
	}
}

func TestNothingIsFetchedAheadForATokenThatIsOver(t *testing.T) {
	var answer atomic.Value
	answer.Store("yes")
	b := ahead(t, cachetest.Tier{})
	b.Active = func(context.Context) (bool, error) {
		switch answer.Load() {
		case "revoked":
			return false, nil
		case "cannot tell":
			return false, errors.New("the store is down")
		}
		return true, nil
	}
	fetch(t, b, "ann")
	n := asks(b)
	b.Clock.Pass(due)
	answer.Store("cannot tell")
	if b.Cache.RefreshDue(); n() != 0 {
		t.Error("asked although nobody can say whether the token is good")
	}
	answer.Store("yes")
	if b.Cache.RefreshDue(); n() != 1 {
		t.Error("not asked when it can be told again")
	}
	b.Clock.Pass(due)
	answer.Store("revoked")
	b.Cache.RefreshDue()
	if err := b.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	if b.Cache.RefreshDue(); n() != 0 {
		t.Error("asked for a token that was revoked")
	}
	answer.Store("yes")
	if b.Cache.RefreshDue(); n() != 0 || b.Cache.Remembered() != 0 {
		t.Error("what only a revoked token asked is remembered")
	}
	fetch(t, b, "bob")
	n()
	b.Clock.Pass(due)
	b.Cache.RefreshDue()
	b.Clock.Pass(due)
	b.Cache.RefreshDue()
	if n() != 2 {
		t.Error("not asked for somebody else")
	}
	for range 40 {
		b.Clock.Pass(due)
		if b.Clock.Now().Sub(cachetest.NewClock().Now()) > cachetest.TokenLife+4*due {
			break
		}
	}
	if b.Cache.RefreshDue(); n() != 0 || b.Cache.Remembered() != 0 {
		t.Error("asked for a token that has ended")
	}
}

func TestWhatAppsWaitForComesFirst(t *testing.T) {
	var spare atomic.Bool
	b := ahead(t, cachetest.Tier{}, func(o *cache.Options) {
		o.Refresh.PerMinute, o.Refresh.Spare = 2, func(string, string) bool { return spare.Load() }
	})
	for _, who := range []string{"ann", "bob", "carl"} {
		fetch(t, b, who)
	}
	n := asks(b)
	b.Clock.Pass(due)
	if b.Cache.RefreshDue(); n() != 0 {
		t.Error("a busy source was asked")
	}
	spare.Store(true)
	if b.Cache.RefreshDue(); n() != 2 {
		t.Error("not as many as may be in a minute")
	}
	if b.Cache.RefreshDue(); n() != 0 {
		t.Error("more than may be in a minute")
	}
	// A source in trouble is left to those who wait.
	b.Clock.Pass(time.Minute)
	b.Up.Do(cachetest.Down)
	if b.Cache.RefreshDue(); n() != 1 {
		t.Error("one that fails is not asked once")
	}
}

// A read is kept because something of it was the patient's. That must be so of
// what comes later, too: else it costs like what is not there, and is gone.
func TestAReadIsKeptAheadOnlyWhileItIsThePatients(t *testing.T) {
	const mine, theirs = `{"resourceType":"Observation","id":"o","of":"ann"}`, `{"resourceType":"Observation","id":"o","of":"bob"}`
	for name, tt := range map[string]struct {
		later func(*cachetest.Upstream)
		still func([]byte) bool
		asked int // by the refresh
		keeps bool
	}{
		"still theirs":         {func(u *cachetest.Upstream) { u.Say(mine) }, func(b []byte) bool { return string(b) == mine }, 1, true},
		"somebody else's":      {func(u *cachetest.Upstream) { u.Say(theirs) }, func(b []byte) bool { return string(b) == mine }, 1, false},
		"gone":                 {func(u *cachetest.Upstream) { u.Do(cachetest.Failing(fault.NotFound)) }, func(b []byte) bool { return string(b) == mine }, 1, false},
		"nobody could tell":    {func(u *cachetest.Upstream) { u.Say(mine) }, nil, 0, true},
		"the upstream is down": {func(u *cachetest.Upstream) { u.Do(cachetest.Down) }, func(b []byte) bool { return string(b) == mine }, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := ahead(t, cachetest.Tier{})
			read := func(confirm bool) error {
				v := b.View("ann").Holding(tt.still)
				err := drain(v.Read(t.Context(), "Observation", "o"))
				if confirm {
					v.Confirm()
				}
				return err
			}
			b.Up.Say(mine)
			if err := read(false); err != nil {
				t.Fatal(err)
			}
			n := asks(b)
			b.Clock.Pass(due)
			if b.Cache.RefreshDue(); n() != 0 {
				t.Fatal("what was never confirmed is fetched ahead")
			}
			if err := read(true); err != nil {
				t.Fatal(err)
			}
			b.Clock.Pass(due)
			tt.later(b.Up)
			n()
			if b.Cache.RefreshDue(); n() != tt.asked {
				t.Errorf("asked %d times", tt.asked)
			}
			_ = read(false)
			if kept := n() == 0; kept != tt.keeps {
				t.Errorf("kept: %v", kept)
			}
			b.Clock.Pass(due)
			if b.Cache.RefreshDue(); !tt.keeps && n() != 0 {
				t.Error("it is fetched ahead again")
			}
		})
	}
}

// Nothing is asked ahead for somebody whose token has ended, however lately it was
// used.
func TestNothingIsMadeAgainForATokenThatHasEnded(t *testing.T) {
	b := ahead(t, cachetest.Tier{}, func(o *cache.Options) { o.Refresh.Active = 2 * cachetest.TokenLife })
	fetch(t, b, "ann")
	b.Clock.Pass(cachetest.TokenLife)
	fetch(t, b, "bob") // whose token has not
	n := asks(b)
	for _, who := range []string{"ann", "bob"} {
		if err := b.Cache.Invalidate(t.Context(), "ehr", who); err != nil {
			t.Fatal(err)
		}
	}
	b.Cache.RefreshDue()
	cachetest.Until(t, func() bool { return n() == 1 })
	if b.Cache.RefreshDue(); n() != 0 {
		t.Error("asked for a token that has ended")
	}
}

func TestWhatIsRememberedOfASessionIsBounded(t *testing.T) {
	b := ahead(t, cachetest.Tier{}, func(o *cache.Options) { o.Memory = 64 << 20 })
	for i := range 500 {
		if err := drain(b.View("ann").Search(t.Context(), "Observation", fmt.Sprint("q=", i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Cache.Remembered(); got != 60 {
		t.Errorf("%d questions of one patient", got)
	}
	for i := range 6_000 {
		if err := drain(b.View(fmt.Sprint("p", i)).Search(t.Context(), "Observation", "q")); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Cache.Remembered(); got != 5_000 {
		t.Errorf("%d questions", got)
	}
	b.Clock.Pass(active)
	fetch(t, b, "zoe")
	if got := b.Cache.Remembered(); got != 1 {
		t.Errorf("%d questions when all have gone", got)
	}
}

// Both replicas have served the session; one fetches, both have it.
func TestOneOfTheReplicasFetchesAhead(t *testing.T) {
	s := services.StartRedis(t)
	a, b := ahead(t, cachetest.Tier{Redis: connect(t, s)}), ahead(t, cachetest.Tier{Redis: connect(t, s)})
	b.Up, b.Clock = a.Up, a.Clock
	both := []*cachetest.Bench{a, b}
	b = ahead(t, cachetest.Tier{Redis: connect(t, s)}, func(o *cache.Options) { o.Now = a.Clock.Now })
	b.Up, both[1] = a.Up, b
	fetch(t, a, "ann")
	entries(t, connect(t, s), 1)
	fetch(t, b, "ann")
	n := asks(a)
	for i := range 6 {
		a.Clock.Pass(due)
		text := fmt.Sprint("version ", i)
		g := cachetest.NewGate()
		a.Up.Do(g.Then(cachetest.Bundle(text)))
		var wg sync.WaitGroup
		wg.Go(both[i%2].Cache.RefreshDue)
		<-g.Began
		both[(i+1)%2].Cache.RefreshDue() // the other one has the lock
		if n() != 1 {
			t.Fatalf("%d: both fetch at once", i)
		}
		g.Open()
		wg.Wait()
		cachetest.Until(t, func() bool { // one has it, the other finds it
			both[(i+1)%2].Cache.RefreshDue()
			body, _, err := both[(i+1)%2].Get("ann")
			return err == nil && body == cachetest.Bundle(text)
		})
		for _, one := range both {
			if body, status, err := one.Get("ann"); err != nil || body != cachetest.Bundle(text) || !strings.Contains(status.CacheStatus(), "hit; ttl=60") {
				t.Fatalf("%d: %q %s %v", i, body, status.CacheStatus(), err)
			}
		}
		if n() != 0 {
			t.Fatalf("%d: fetched more than once", i)
		}
	}
	// Without Redis nothing can be kept, so nothing is fetched.
	a.Clock.Pass(due)
	s.Kill(t)
	for _, one := range both {
		if one.Cache.RefreshDue(); n() != 0 {
			t.Error("fetched while Redis is away")
		}
	}
}

// An invalidation while something is fetched ahead makes it due again.
func TestAChangeDuringARefreshIsNotForgotten(t *testing.T) {
	b := ahead(t, cachetest.Tier{}, func(o *cache.Options) { o.Refresh.Every = time.Millisecond })
	fetch(t, b, "ann")
	g := cachetest.NewGate()
	b.Up.Do(func(ctx context.Context, asked string) (*upstream.Answer, error) {
		return g.Then(cachetest.Bundle("before"))(ctx, asked)
	})
	b.Clock.Pass(due)
	<-g.Began
	b.Up.Say(cachetest.Bundle("after"))
	if err := b.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	g.Open()
	cachetest.Until(t, func() bool { return len(b.Up.Asked()) == 3 })
	cachetest.Until(t, func() bool {
		v := b.View("ann", "only-if-cached")
		a, err := v.Search(t.Context(), "Observation", "patient=ann")
		if err != nil {
			return false
		}
		raw, _ := io.ReadAll(a.Body)
		if _ = a.Body.Close(); string(raw) != cachetest.Bundle("after") {
			t.Fatalf("%s", raw)
		}
		return true
	})
}
