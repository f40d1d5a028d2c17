// Package reach remembers which types of a patient's own resources were seen to
// point to something. It is a shortcut and never an authority of its own: what it
// does not know, or not any more, is searched for. It must not know what may be
// read, by whom, or why something was remembered.
package reach

import (
	"slices"
	"sync"
	"time"
)

const (
	mostEdges = 200_000          // of one Memory, about 150 bytes each
	mostAge   = 10 * time.Minute // how long an edge is believed at most
)

// Memory is what was seen at one source. An edge is believed for as long as the
// answer that it was seen in is fresh, no longer, and dies with the patient's epoch.
// Two generations bound it in size without a list of what to forget.
type Memory struct {
	now func() time.Time

	mu            sync.Mutex
	recent, older map[end][]Edge
	begun         time.Time // of the recent generation
}

type end struct{ patient, to string }

// Edge is what was seen: a resource of a type that pointed to something.
type Edge struct {
	From        string // the type
	Seen, Until time.Time
}

// New makes a Memory that knows nothing.
func New(now func() time.Time) *Memory {
	return &Memory{now: now, recent: map[end][]Edge{}, begun: now()}
}

// Add remembers until then that a type points to something. patient names the
// patient and the epoch.
func (m *Memory) Add(patient, to, from string, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if !now.Before(until) {
		return
	}
	if most := now.Add(mostAge); until.After(most) {
		until = most
	}
	m.turn()
	at := end{patient, to}
	list := m.recent[at]
	known := slices.IndexFunc(list, func(e Edge) bool { return e.From == from })
	switch one := (Edge{from, now, until}); {
	case known < 0:
		m.recent[at] = append(list, one)
	case list[known].Until.Before(until):
		list[known] = one
	}
}

// From gives what was seen to point to something and is still believed. A clock
// that was set back makes nothing good again.
func (m *Memory) From(patient, to string) []Edge {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	at := end{patient, to}
	now := m.now()
	return slices.DeleteFunc(slices.Concat(m.recent[at], m.older[at]), func(e Edge) bool { return !now.Before(e.Until) || now.Before(e.Seen) })
}

// turn begins a generation when the recent one is full or half as old as an
// edge may get, and forgets the older one; after a pause it forgets both, and so
// it does when the clock was set back.
func (m *Memory) turn() {
	age := m.now().Sub(m.begun)
	if age < 0 { // the clock was set back: nobody knows how old anything is
		age = mostAge
	}
	if len(m.recent) < mostEdges/2 && age < mostAge/2 {
		return
	}
	m.older = m.recent
	if age >= mostAge {
		m.older = nil
	}
	m.recent, m.begun = map[end][]Edge{}, m.now()
}
