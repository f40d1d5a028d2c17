package main

import (
	"context"
	"sync"
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
		return &ailment{reason: "wrong", mild: true, found: err.Error()}
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
