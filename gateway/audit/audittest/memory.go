// Package audittest is the suite that every audit.Sink passes, and a sink in
// memory for tests. It is imported by tests only.
package audittest

import (
	"context"
	"sync"

	"github.com/portico-fhir/portico/gateway/audit"
)

// Memory keeps events in memory. The zero value is ready for use.
type Memory struct {
	mu     sync.Mutex
	events []audit.Stored
	ids    map[string]bool
	fail   error
}

var (
	_ audit.Sink   = (*Memory)(nil)
	_ audit.Reader = (*Memory)(nil)
)

// Fail makes Record fail with err from now on; nil ends it.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// Record implements audit.Sink.
func (m *Memory) Record(_ context.Context, e audit.Event) error {
	if err := audit.Validate(e); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.ids[e.ID] {
		return audit.ErrDuplicate
	}
	if m.ids == nil {
		m.ids = map[string]bool{}
	}
	m.ids[e.ID] = true
	m.events = append(m.events, audit.Stored{Seq: int64(len(m.events) + 1), Event: e})
	return nil
}

// Events implements audit.Reader.
func (m *Memory) Events(ctx context.Context, f audit.Filter) ([]audit.Stored, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	limit := f.Limit
	if limit <= 0 {
		limit = audit.DefaultLimit
	}
	var out []audit.Stored
	for _, e := range m.events {
		if len(out) < min(limit, audit.MaxLimit) && fits(f, e) {
			out = append(out, e)
		}
	}
	return out, nil
}

func fits(f audit.Filter, e audit.Stored) bool {
	for _, pair := range [][2]string{
		{f.Source, e.Source}, {f.Client, e.Client}, {f.PersonIss, e.PersonIss}, {f.PersonSub, e.PersonSub},
		{f.Patient, e.Patient}, {f.Grant, e.Grant}, {f.RequestID, e.RequestID},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return e.Seq > f.After && !e.Time.Before(f.From) && (f.Until.IsZero() || e.Time.Before(f.Until))
}
