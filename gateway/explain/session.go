package explain

import (
	"context"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/reqctx"
)

const (
	explainedFor = 15 * time.Minute // how long an Explanation waits
	maxExplained = 200              // that wait at once; the oldest go first
	maxBatchSeen = 50               // exchanges of one request
	maxLines     = 150_000          // calls, entries and proofs of all that wait: what one request may have at most
)

// Session is a request that is explained, with one Trace for each exchange: a
// batch has several.
type Session struct {
	now     func() time.Time
	discard bool

	mu     sync.Mutex
	traces []*Trace
}

type sessionKey struct{}

// NewSession begins one. With discard nothing of the answers leaves.
func NewSession(now func() time.Time, discard bool) *Session {
	return &Session{now: now, discard: discard}
}

// In gives a context in which exchanges are explained.
func (e *Session) In(ctx context.Context) context.Context {
	return context.WithValue(ctx, sessionKey{}, e)
}

// Begin gives the trace of a new exchange, nil when nobody asked for one.
func Begin(ctx context.Context, source string) *Trace {
	e, ok := ctx.Value(sessionKey{}).(*Session)
	if !ok {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.traces) >= maxBatchSeen {
		return nil
	}
	now := e.now()
	t := &Trace{now: e.now, began: now, discard: e.discard, e: Explanation{Request: reqctx.ID(ctx), Time: now.UTC(), Source: source}}
	e.traces = append(e.traces, t)
	return t
}

// Explanations gives what was collected, in the order in which it began.
func (e *Session) Explanations() []Explanation {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]Explanation, 0, len(e.traces))
	for _, t := range e.traces {
		t.mu.Lock()
		out = append(out, t.e)
		t.mu.Unlock()
	}
	return out
}

// Room holds Explanations until an operator asks. They are kept in this
// process alone and hold nothing of anybody. The zero value is empty.
type Room struct {
	mu    sync.Mutex
	order []string
	held  map[string]waiting
	lines int // of all that is held
}

type waiting struct {
	traces  []Explanation
	expires time.Time
	lines   int
}

func linesOf(traces []Explanation) int {
	n := 0
	for _, e := range traces {
		n += len(e.Upstream) + len(e.Entries) + len(e.Proofs)
	}
	return n
}

// Keep lets those of a request wait.
func (r *Room) Keep(request string, traces []Explanation, now time.Time) {
	if request == "" || len(traces) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := linesOf(traces)
	for len(r.order) > 0 && (len(r.order) >= maxExplained || r.lines+lines > maxLines || !now.Before(r.held[r.order[0]].expires)) {
		r.lines -= r.held[r.order[0]].lines
		delete(r.held, r.order[0])
		r.order = r.order[1:]
	}
	if r.held == nil {
		r.held = map[string]waiting{}
	}
	before := r.held[request].lines
	r.order = append(r.order, request)
	r.held[request] = waiting{traces, now.Add(explainedFor), lines}
	r.lines += lines - before
}

// Of gives those of a request; none when there are none (any more).
func (r *Room) Of(request string, now time.Time) []Explanation {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok := r.held[request]
	if !ok || !now.Before(one.expires) {
		return nil
	}
	return one.traces
}
