package gateway

import (
	"slices"
	"sync"
	"time"
)

const (
	reachEdges = 200_000          // most edges of one source, about 100 bytes each
	reachAge   = 10 * time.Minute // how long an edge is believed at most
)

// reachMemory remembers which types of a patient's own resources were seen to
// point to a Reached resource. It is a shortcut and never an authority of its
// own: what it does not know, or not any more, is searched for. Two generations
// bound it in size and age without a list of what to forget.
type reachMemory struct {
	now func() time.Time

	mu            sync.Mutex
	recent, older map[reachKey][]string
	begun         time.Time // of the recent generation
}

type reachKey struct{ patient, to string }

func newReachMemory(now func() time.Time) *reachMemory {
	return &reachMemory{now: now, recent: map[reachKey][]string{}, begun: now()}
}

func (m *reachMemory) add(patient, to, from string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	key := reachKey{patient, to}
	if !slices.Contains(m.recent[key], from) {
		m.recent[key] = append(m.recent[key], from)
	}
}

// from gives the types that were seen to point to a resource.
func (m *reachMemory) from(patient, to string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	key := reachKey{patient, to}
	return slices.Concat(m.recent[key], m.older[key])
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
	m.recent, m.begun = map[reachKey][]string{}, m.now()
}
