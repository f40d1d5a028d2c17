package main

import (
	"context"
	"time"

	"github.com/portico-fhir/portico/gateway/store"
)

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
