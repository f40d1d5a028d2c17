// Package clock tells what time it is to all that is kept and promised, so that
// replicas agree though the clock of one machine is wrong. It owns which of
// several clocks is believed; it must not know where the shared one stands.
package clock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the shared clock is asked.
	lookEvery = 10 * time.Second
	// jumped is what this machine's clock must have moved by for the shared one to
	// be asked at once.
	jumped = time.Second
	// askTime bounds how long the shared clock may take to answer, and with it how
	// wrong what it says may be.
	askTime = 2 * time.Second
	// MostApart is by how much this machine's clock may differ before Wrong says so.
	MostApart = time.Minute
)

// Shared gives the time that all replicas see, such as the database's.
type Shared func(context.Context) (time.Time, error)

// Clock is this machine's clock until Follow, and then the time that it and the
// shared clock agreed on, carried on by the time that has passed since.
type Clock struct {
	wall   func() time.Time // this machine's
	passed func() time.Duration
	shared Shared
	wake   chan struct{}

	looking sync.Mutex
	agreed  atomic.Pointer[agreed]
}

// agreed is what a look at the clocks came to.
type agreed struct {
	now   time.Time
	at    time.Duration // passed
	apart time.Duration // this machine's clock minus now
	other time.Duration // the shared clock minus now
}

func (a *agreed) when(passed time.Duration) time.Time { return a.now.Add(passed - a.at) }

// New gives a Clock that is this machine's.
func New() *Clock {
	begun := time.Now()
	return Of(time.Now, func() time.Duration { return time.Since(begun) })
}

// Of is New with readings of one's own: the time of day, which may jump, and how
// much time has passed, which may not.
func Of(wall func() time.Time, passed func() time.Duration) *Clock {
	return &Clock{wall: wall, passed: passed, wake: make(chan struct{}, 1)}
}

// Follow makes the shared clock count. At the start there is nothing else to tell
// which of the two is wrong when they differ, and the replicas must agree. Call
// it before Run, once.
func (c *Clock) Follow(ctx context.Context, shared Shared) error {
	c.shared = shared
	return c.Look(ctx)
}

// Now gives the time.
func (c *Clock) Now() time.Time {
	a := c.agreed.Load()
	if a == nil {
		return c.wall()
	}
	now := a.when(c.passed())
	if moved := c.wall().Round(0).Sub(now) - a.apart; moved.Abs() > jumped {
		select {
		case c.wake <- struct{}{}:
		default: // it is awake already
		}
	}
	return now
}

// Look asks the shared clock and agrees on the time: of that clock, this
// machine's and what was agreed before, the middle one. So one alone that jumps
// changes nothing, and when this machine was asleep, which the time that passed
// does not tell, the other two know. An answer that took too long says nothing.
func (c *Clock) Look(ctx context.Context) error {
	if c.shared == nil {
		return nil
	}
	c.looking.Lock()
	defer c.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	begun := c.passed()
	shared, err := c.shared(ctx)
	if err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	at, wall := c.passed(), c.wall().Round(0)
	if at-begun > askTime {
		return errors.New("clock: the shared clock took too long to answer")
	}
	shared = shared.Round(0).Add((at - begun) / 2)
	now := shared
	if before := c.agreed.Load(); before != nil {
		now = middle(shared, wall, before.when(at))
	}
	c.agreed.Store(&agreed{now: now, at: at, apart: wall.Sub(now), other: shared.Sub(now)})
	return nil
}

func middle(times ...time.Time) time.Time {
	slices.SortFunc(times, time.Time.Compare)
	return times[len(times)/2]
}

// Run looks now and then, and at once when this machine's clock has jumped, until
// ctx ends.
func (c *Clock) Run(ctx context.Context) {
	if c.shared == nil {
		return
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-c.wake:
		}
		_ = c.Look(ctx) // what cannot be asked now is asked again; without the database nothing is answered
		select {
		case <-c.wake: // it was asked just now
		default:
		}
	}
}

// Wrong says which clock is off, and by how much, when one is by more than
// MostApart.
func (c *Clock) Wrong() error {
	a := c.agreed.Load()
	if a == nil {
		return nil
	}
	apart := c.wall().Round(0).Sub(a.when(c.passed()))
	switch {
	case apart.Abs() > MostApart:
		return fmt.Errorf("this machine's clock is off by %v and not believed: see to it", apart.Round(time.Second))
	case a.other.Abs() > MostApart:
		return fmt.Errorf("the database's clock is off by %v and not believed: see to it", a.other.Round(time.Second))
	}
	return nil
}
