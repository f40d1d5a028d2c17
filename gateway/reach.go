package gateway

import (
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/smart/scope"
)

const (
	reachEdges = 200_000          // most edges of one source, about 150 bytes each
	reachAge   = 10 * time.Minute // how long an edge is believed at most
	// reachAlone is how long where no answers are kept: what a cache without a ttl
	// of its own would keep them for.
	reachAlone = time.Minute
)

// reachMemory remembers which types of a patient's own resources were seen to
// point to a Reached resource. It is a shortcut and never an authority of its
// own: what it does not know, or not any more, is searched for. An edge is believed
// for as long as the answer that it was seen in is fresh, no longer, and dies with
// the patient's epoch. Two generations bound it in size without a list of what to
// forget.
type reachMemory struct {
	now func() time.Time

	mu            sync.Mutex
	recent, older map[reachKey][]edge
	begun         time.Time // of the recent generation
}

type reachKey struct{ patient, to string }

// edge is what was seen: a resource of a type that pointed to another.
type edge struct {
	from        string
	seen, until time.Time
}

func newReachMemory(now func() time.Time) *reachMemory {
	return &reachMemory{now: now, recent: map[reachKey][]edge{}, begun: now()}
}

// add remembers until then that a type points to a resource.
func (m *reachMemory) add(patient, to, from string, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if !now.Before(until) {
		return
	}
	if most := now.Add(reachAge); until.After(most) {
		until = most
	}
	m.turn()
	key := reachKey{patient, to}
	list := m.recent[key]
	at := slices.IndexFunc(list, func(e edge) bool { return e.from == from })
	switch one := (edge{from, now, until}); {
	case at < 0:
		m.recent[key] = append(list, one)
	case list[at].until.Before(until):
		list[at] = one
	}
}

// from gives what was seen to point to a resource and is still believed. A clock
// that was set back makes nothing good again.
func (m *reachMemory) from(patient, to string) []edge {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	key := reachKey{patient, to}
	now := m.now()
	return slices.DeleteFunc(slices.Concat(m.recent[key], m.older[key]), func(e edge) bool { return !now.Before(e.until) || now.Before(e.seen) })
}

// turn begins a generation when the recent one is full or half as old as an
// edge may get, and forgets the older one; after a pause it forgets both, and so
// it does when the clock was set back.
func (m *reachMemory) turn() {
	age := m.now().Sub(m.begun)
	if age < 0 { // the clock was set back: nobody knows how old anything is
		age = reachAge
	}
	if len(m.recent) < reachEdges/2 && age < reachAge/2 {
		return
	}
	m.older = m.recent
	if age >= reachAge {
		m.older = nil
	}
	m.recent, m.begun = map[reachKey][]edge{}, m.now()
}

// sees remembers an edge for as long as all that this request was given is fresh:
// one rule for what is kept of answers and for what is concluded from them. What
// was given stale, or cannot be kept now, leads nowhere later.
func (x *exchange) sees(to, from string) {
	until := x.src.reach.now().Add(x.src.alone)
	if x.cached != nil {
		until = x.cached.FreshUntil()
	}
	x.src.reach.add(x.era(), to, from, until)
}

// learns remembers what the upstream has just shown of a resource.
func (x *exchange) learns(what, typ string) {
	lasts := x.src.alone
	if x.cached != nil {
		lasts = x.cached.FreshFor(typ)
	}
	x.src.reach.add(x.era(), what, typ, x.src.reach.now().Add(lasts))
}

// saw says whether a type that the token covers whole was seen to point to a
// resource. What an answer rests on bounds how long it is kept: it ends with the
// edge.
func (x *exchange) saw(to string, covers func(from string) bool) bool {
	for _, e := range x.src.reach.from(x.era(), to) {
		if !covers(e.from) {
			continue
		}
		if x.cached != nil {
			x.cached.RestsOn(e.until)
		}
		return true
	}
	return false
}

// readsAll says whether the token may read all of a type.
func (x *exchange) readsAll(typ string) bool { return x.who.Covers(typ, scope.Read) == guard.Whole }

func anyType(string) bool { return true }
