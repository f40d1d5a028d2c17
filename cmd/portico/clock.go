package main

import (
	"context"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/store"
)

// follow makes the clock of PostgreSQL that of all replicas. A SQLite file is on
// this machine, so there is one clock.
func (w *wiring) follow(ctx context.Context) error {
	if w.cfg.Store.Postgres == nil {
		return nil
	}
	w.parts = append(w.parts, part{name: "clock", ping: w.pingClock})
	return w.clock.Follow(ctx, w.store.Clock)
}

// pingClock says whether a clock is wrong. Nothing goes by it then.
func (w *wiring) pingClock(context.Context) error {
	if err := w.clock.Wrong(); err != nil {
		return &ailment{reason: "wrong", mild: true, check: err.Error()}
	}
	return nil
}

// background is what goes on beside requests; stop ends it.
func (w *wiring) background() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.clock.Run(ctx) })
	running.Go(func() { w.sweep(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// sweepEvery is how often what has expired is deleted.
const sweepEvery = 10 * time.Minute

// sweep deletes what has expired now and then, until ctx ends.
func (w *wiring) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if err := sweepOnce(ctx, w.store, now, w.clock.Now()); err != nil && ctx.Err() == nil {
				w.log.Error("deleting what has expired", "error", err)
			}
		}
	}
}

// sweepOnce goes by the earliest of this machine's clock, the one agreed on and
// the database's: what is deleted does not come back when a clock is set right,
// so all of them must say that it is over.
func sweepOnce(ctx context.Context, s *store.Store, clocks ...time.Time) error {
	now, err := s.Clock(ctx)
	if err != nil {
		return err
	}
	for _, at := range clocks {
		if at.Before(now) {
			now = at
		}
	}
	return s.Sweep(ctx, now)
}
