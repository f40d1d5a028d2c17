// Package budget bounds how often a party may do something, on one replica or on
// all of them together. It owns the counting; it must not know who the parties are
// or what they do.
package budget

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/rate"
)

// Budget counts. budgettest.Run holds every implementation to what is said here.
type Budget interface {
	// Take takes one of key's tokens: wait is 0 when there was one. Otherwise
	// nothing is taken and there is none for wait. An error says that it cannot be
	// told; nothing is taken then.
	Take(ctx context.Context, key string, limit rate.Limit) (wait time.Duration, err error)
	// Reserve takes one of key's tokens that may be used after wait, if that is no
	// more than most: ok says so. Otherwise nothing is taken and there is none for
	// wait. Tokens are given in the order of the questions.
	Reserve(ctx context.Context, key string, limit rate.Limit, most time.Duration) (wait time.Duration, ok bool, err error)
}

// Memory counts in this process.
type Memory struct {
	table *rate.Table
	now   func() time.Time
}

var _ Budget = (*Memory)(nil)

// NewMemory makes a Memory; now is time.Now when nil.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{table: rate.NewTable(0), now: now}
}

// Take implements Budget; it never fails.
func (m *Memory) Take(_ context.Context, key string, limit rate.Limit) (time.Duration, error) {
	wait, _ := m.table.Take(key, limit, m.now())
	return wait, nil
}

// Reserve implements Budget; it never fails.
func (m *Memory) Reserve(_ context.Context, key string, limit rate.Limit, most time.Duration) (time.Duration, bool, error) {
	wait, ok := m.table.Reserve(key, limit, m.now(), most)
	return wait, ok, nil
}

// restFor is how long a Budget that failed is not asked, so that one that hangs
// slows nobody but the first.
const restFor = time.Second

// Fallback asks the first Budget, and the second while the first cannot tell:
// replicas then count by themselves, so all together allow more.
type Fallback struct {
	first, second Budget
	now           func() time.Time
	log           *slog.Logger

	mu    sync.Mutex
	rest  time.Time
	broke bool
}

var _ Budget = (*Fallback)(nil)

// NewFallback makes a Fallback.
func NewFallback(first, second Budget, log *slog.Logger) *Fallback {
	return &Fallback{first: first, second: second, now: time.Now, log: log}
}

// Take implements Budget.
func (f *Fallback) Take(ctx context.Context, key string, limit rate.Limit) (time.Duration, error) {
	wait, _, err := f.Reserve(ctx, key, limit, 0)
	return wait, err
}

// Reserve implements Budget.
func (f *Fallback) Reserve(ctx context.Context, key string, limit rate.Limit, most time.Duration) (time.Duration, bool, error) {
	f.mu.Lock()
	resting := f.now().Before(f.rest)
	f.mu.Unlock()
	if !resting {
		wait, ok, err := f.first.Reserve(ctx, key, limit, most)
		switch {
		case err == nil:
			f.note(true, nil)
			return wait, ok, nil
		case ctx.Err() != nil: // the caller went away
			return 0, false, err
		}
		f.note(false, err)
	}
	return f.second.Reserve(ctx, key, limit, most)
}

// note remembers how the first did and says what has changed.
func (f *Fallback) note(well bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case well && f.broke:
		f.broke = false
		f.log.Info("budgets are counted with all replicas again")
	case !well && !f.broke:
		f.broke = true
		f.log.Warn("budgets are counted by this process alone", "error", err)
	}
	if !well {
		f.rest = f.now().Add(restFor)
	}
}
