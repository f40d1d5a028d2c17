package clock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portico-fhir/portico/internal/clock"
)

const year = 365 * 24 * time.Hour

// clocks are three that a test sets, each by what it is off from the truth.
type clocks struct {
	mu            sync.Mutex // where a look goes on beside the test
	begun         time.Time
	truth         time.Duration // since begun
	own, database time.Duration // off
	asleep        time.Duration // what has passed and was not counted
	away          bool          // the database
	asked         int
	answerTakes   time.Duration
}

func (c *clocks) clock(t *testing.T) *clock.Clock {
	t.Helper()
	c.begun = time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	k := clock.Of(func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.begun.Add(c.truth + c.own)
	}, func() time.Duration {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.truth - c.asleep
	})
	if err := k.Follow(t.Context(), c.shared); err != nil {
		t.Fatal(err)
	}
	return k
}

func (c *clocks) shared(context.Context) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	c.truth += c.answerTakes / 2
	at := c.begun.Add(c.truth + c.database)
	c.truth += c.answerTakes / 2
	if c.away {
		return time.Time{}, errors.New("away")
	}
	return at, nil
}

func (c *clocks) off(k *clock.Clock) time.Duration {
	now := k.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.begun.Add(c.truth))
}

func (c *clocks) sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.truth, c.asleep = c.truth+d, c.asleep+d
}

func (c *clocks) questions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func TestOneClockThatJumpsIsNotBelieved(t *testing.T) {
	for name, tt := range map[string]struct {
		jump   func(*clocks)
		before time.Duration // what the time is off until the next look
		wrong  bool
	}{
		"this machine's forward":       {func(c *clocks) { c.own = 10 * year }, 0, true},
		"this machine's back":          {func(c *clocks) { c.own = -2 * time.Hour }, 0, true},
		"this machine's, by a little":  {func(c *clocks) { c.own = 20 * time.Second }, 0, false},
		"the database's forward":       {func(c *clocks) { c.database = 10 * year }, 0, true},
		"the database's back":          {func(c *clocks) { c.database = -2 * time.Hour }, 0, true},
		"this machine was asleep":      {func(c *clocks) { c.truth += time.Hour; c.asleep = time.Hour }, -time.Hour, false},
		"the database takes its time":  {func(c *clocks) { c.answerTakes = time.Second }, 0, false},
		"the database takes very long": {func(c *clocks) { c.answerTakes = time.Hour }, 0, false},
		"the database is away":         {func(c *clocks) { c.away = true; c.own = time.Hour }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var c clocks
			k := c.clock(t)
			c.truth += time.Minute
			if err := k.Look(t.Context()); err != nil || c.off(k) != 0 || k.Wrong() != nil {
				t.Fatalf("before: off by %v, %v, %v", c.off(k), err, k.Wrong())
			}
			tt.jump(&c)
			if off := c.off(k); off != tt.before {
				t.Errorf("at once: off by %v", off)
			}
			for range 3 {
				if err := k.Look(t.Context()); err != nil && !c.away && c.answerTakes < time.Minute {
					t.Fatal(err)
				}
				c.truth += time.Minute
				if off := c.off(k); off != 0 {
					t.Errorf("after a look: off by %v", off)
				}
			}
			if err := k.Wrong(); (err != nil) != tt.wrong {
				t.Errorf("it says %v", err)
			}
			c.own, c.database, c.answerTakes, c.away = 0, 0, 0, false
			if err := k.Look(t.Context()); err != nil || c.off(k) != 0 || k.Wrong() != nil {
				t.Errorf("right again: off by %v, %v, %v", c.off(k), err, k.Wrong())
			}
		})
	}
}

// With nothing else to go by, all replicas go by the same clock.
func TestAtTheStartTheSharedClockCounts(t *testing.T) {
	c := clocks{own: 10 * year}
	k := c.clock(t)
	if off := c.off(k); off != 0 || k.Wrong() == nil {
		t.Errorf("off by %v, %v", off, k.Wrong())
	}
	c.own = 0 // it was set right
	if err := k.Look(t.Context()); err != nil || c.off(k) != 0 || k.Wrong() != nil {
		t.Errorf("off by %v, %v, %v", c.off(k), err, k.Wrong())
	}
	away := clocks{away: true}
	if err := clock.New().Follow(t.Context(), away.shared); err == nil {
		t.Error("it follows nothing")
	}
}

// What the time that passed does not tell is asked for at once, not at the next
// turn.
func TestAJumpIsLookedIntoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clocks
		k := c.clock(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		synctest.Wait()
		c.sleep(time.Hour)
		begun, asked := time.Now(), c.questions()
		if off := c.off(k); off != -time.Hour {
			t.Errorf("off by %v", off)
		}
		synctest.Wait()
		if off := c.off(k); off != 0 || c.questions() != asked+1 || time.Since(begun) != 0 {
			t.Errorf("off by %v, asked %d times, after %v", off, c.questions()-asked, time.Since(begun))
		}
		time.Sleep(time.Minute)
		if n := c.questions() - asked; n < 6 {
			t.Errorf("asked %d times in a minute", n)
		}
		cancel()
		<-done
	})
}

func TestWithoutASharedClockItIsThisMachines(t *testing.T) {
	k := clock.New()
	k.Run(t.Context()) // has nothing to do
	if err := k.Look(t.Context()); err != nil || k.Wrong() != nil || time.Since(k.Now()).Abs() > time.Minute {
		t.Errorf("%v, %v", k.Now(), err)
	}
}
