package cache

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/rate"
)

// Token is what a request came with, as far as it matters for asking its
// questions again before anybody does.
type Token struct {
	ID    string    // tells tokens apart; "": nothing is fetched for it ahead of a request
	Until time.Time // when it ends
	// Active asks whoever keeps tokens whether it still stands for somebody who is
	// there: not revoked, of an app that may be used, not signed out. It is asked
	// before each refresh; an error means that this cannot be told now.
	Active func(context.Context) (bool, error)
}

// The bounds of what is remembered of active sessions.
const (
	maxRecent        = 5_000 // questions, about 500 bytes each
	maxRecentOfOne   = 60    // of one patient
	maxRecentTokens  = 3     // that asked the same, the latest
	defaultPerMinute = 60
	defaultEvery     = time.Second
	// leastTTL is how long an answer must be fresh to be worth fetching ahead:
	// whoever wants fresher ones wants the upstream asked.
	leastTTL = 10 * time.Second
	longLead = time.Minute
	// sweepEvery is how often a full memory is looked through for room.
	sweepEvery = time.Second
)

// lead is how long before its end an answer is fetched again.
func lead(ttl time.Duration) time.Duration { return min(ttl/4, longLead) }

// asked is a question as a patient's apps ask it: held or not, it is kept under
// another name.
type asked struct {
	question
	held bool
}

// recent is a question that was asked lately and whose answer was kept.
type recent struct {
	asked
	of     part
	up     upstream.Reader
	still  func([]byte) bool // of a held one; nil: it is not fetched ahead
	tokens []Token           // that asked it, the latest last
	party  string            // who used it last: it counts as asked by them
	used   time.Time
	due    time.Time // when it is fetched again
	turn   int       // grows with each change that is known here
}

// sessions remembers what patients with an active session read. Whoever reads
// nothing any more is forgotten. It is nil when nothing is to be refreshed.
type sessions struct {
	o    Refresh
	rate *rate.Limiter
	wake chan struct{}

	mu    sync.Mutex
	parts map[part]map[asked]*recent
	total int
	swept time.Time
	busy  map[string]bool // sources of which something is fetched now
}

func newSessions(o Refresh) *sessions {
	if o.Active <= 0 {
		return nil
	}
	if o.PerMinute <= 0 {
		o.PerMinute = defaultPerMinute
	}
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.Spare == nil {
		o.Spare = func(string, string) bool { return true }
	}
	return &sessions{o: o, rate: rate.New(o.PerMinute, time.Minute), wake: make(chan struct{}, 1), parts: map[part]map[asked]*recent{}, busy: map[string]bool{}}
}

// note remembers that a request was given an answer that was fetched then. Pages
// are not: their links stand in the answers before them.
func (s *sessions) note(j *job, fetched time.Time) {
	v := j.v
	if s == nil || v.r.Token.ID == "" || j.q.kind == "next" || v.hold && v.still == nil {
		return
	}
	a := asked{j.q, v.hold}
	v.tally.from(a)
	now := v.c.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.parts[v.of][a]
	if one == nil {
		if one = s.room(v.of, a, now); one == nil {
			return
		}
		one.up = v.r.Upstream
	}
	one.still = v.still
	one.use(v, now)
	one.plan(fetched, j.ttl)
}

// touch remembers that an answer made of these was given again.
func (s *sessions) touch(v *View, from []asked) {
	if s == nil || v.r.Token.ID == "" {
		return
	}
	now := v.c.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range from {
		if one := s.parts[v.of][a]; one != nil {
			one.use(v, now)
		}
	}
}

func (r *recent) use(v *View, now time.Time) {
	t := v.r.Token
	r.used, r.party = now, v.party
	r.tokens = append(slices.DeleteFunc(r.tokens, func(o Token) bool { return o.ID == t.ID }), t)
	if len(r.tokens) > maxRecentTokens {
		r.tokens = slices.Delete(r.tokens, 0, 1)
	}
}

// plan says when it is due, going by when it was fetched.
func (r *recent) plan(fetched time.Time, ttl time.Duration) {
	if ttl < leastTTL {
		r.due = r.used.Add(forgotten) // after a change alone
		return
	}
	r.due = fetched.Add(ttl - lead(ttl))
}

// forgotten is later than any session is active.
const forgotten = 365 * 24 * time.Hour

// room makes a place for a question, nil when there is none. The lock is held.
func (s *sessions) room(of part, a asked, now time.Time) *recent {
	list := s.parts[of]
	if len(list) >= maxRecentOfOne {
		oldest := slices.MinFunc(slices.Collect(maps.Values(list)), func(x, y *recent) int { return x.used.Compare(y.used) })
		s.drop(oldest)
	}
	if s.total >= maxRecent && max(now.Sub(s.swept), s.swept.Sub(now)) >= sweepEvery {
		s.sweep(now)
	}
	if s.total >= maxRecent {
		return nil
	}
	if list = s.parts[of]; list == nil {
		list = map[asked]*recent{}
		s.parts[of] = list
	}
	one := &recent{asked: a, of: of}
	list[a], s.total = one, s.total+1
	return one
}

// drop forgets a question. The lock is held.
func (s *sessions) drop(one *recent) {
	list := s.parts[one.of]
	if list[one.asked] != one {
		return
	}
	delete(list, one.asked)
	if s.total--; len(list) == 0 {
		delete(s.parts, one.of)
	}
}

func (s *sessions) forget(one *recent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(one)
}

// sweep forgets what was not asked for a while, and whatever no token asks that
// has not ended. The lock is held.
func (s *sessions) sweep(now time.Time) {
	s.swept = now
	for _, list := range s.parts {
		for _, one := range list {
			one.tokens = slices.DeleteFunc(one.tokens, func(t Token) bool { return !now.Before(t.Until) })
			if now.Sub(one.used) >= s.o.Active || len(one.tokens) == 0 {
				s.drop(one)
			}
		}
	}
}

// changed makes all that is remembered of a patient due now.
func (s *sessions) changed(of part) {
	if s == nil {
		return
	}
	s.mu.Lock()
	for _, one := range s.parts[of] {
		one.due, one.turn = time.Time{}, one.turn+1
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// todo gives what is due at each source of which nothing is fetched now, what was
// used last first, and marks those sources as busy.
func (s *sessions) todo(now time.Time) map[string][]*recent {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	out := map[string][]*recent{}
	for of, list := range s.parts {
		for _, one := range list {
			if !s.busy[of.source] && !now.Before(one.due) {
				out[of.source] = append(out[of.source], one)
			}
		}
	}
	for source, list := range out {
		s.busy[source] = true
		slices.SortFunc(list, func(x, y *recent) int {
			return cmp.Or(y.used.Compare(x.used), cmp.Compare(x.typ, y.typ), cmp.Compare(x.request, y.request))
		})
	}
	return out
}

// settled says when a question is due next; what has changed meanwhile is due.
func (s *sessions) settled(one *recent, turn int, due func(*recent)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.turn == turn {
		due(one)
	}
}

// active says whether a token that asked still stands for somebody who is there.
// Those that do not are forgotten; when none is left, the question is. An error
// means that it cannot be told.
func (s *sessions) active(ctx context.Context, one *recent, now time.Time) (bool, error) {
	s.mu.Lock()
	tokens := slices.Clone(one.tokens)
	s.mu.Unlock()
	for _, t := range slices.Backward(tokens) {
		ok := now.Before(t.Until) && t.Active != nil
		if ok {
			var err error
			if ok, err = t.Active(ctx); err != nil {
				return false, err
			}
		}
		if ok {
			return true, nil
		}
		s.mu.Lock()
		one.tokens = slices.DeleteFunc(one.tokens, func(o Token) bool { return o.ID == t.ID })
		if len(one.tokens) == 0 {
			s.drop(one)
		}
		s.mu.Unlock()
	}
	return false, nil
}
