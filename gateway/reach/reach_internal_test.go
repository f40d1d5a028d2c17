package reach

import (
	"testing"
	"time"
)

func TestWhatLedToAResourceIsForgotten(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := New(func() time.Time { return now })
	m.Add("alice", "Device/d", "Observation", now.Add(time.Hour))
	m.Add("alice", "Device/d", "Observation", now.Add(time.Hour))
	if got := m.From("alice", "Device/d"); len(got) != 1 || got[0].From != "Observation" {
		t.Errorf("at once: %v", got)
	}
	if got := m.From("bob", "Device/d"); len(got) != 0 {
		t.Errorf("another patient's: %v", got)
	}
	now = now.Add(mostAge/2 + time.Second)
	if got := m.From("alice", "Device/d"); len(got) != 1 || got[0].From != "Observation" {
		t.Errorf("in the next generation: %v", got)
	}
	now = now.Add(mostAge / 2)
	if got := m.From("alice", "Device/d"); len(got) != 0 {
		t.Errorf("after its time: %v", got)
	}
	m.Add("alice", "Device/d", "Observation", now.Add(time.Hour))
	now = now.Add(mostAge)
	if got := m.From("alice", "Device/d"); len(got) != 0 {
		t.Errorf("after a pause: %v", got)
	}
	m.Add("alice", "Device/d", "Observation", now.Add(time.Minute))
	now = now.Add(time.Minute)
	if got := m.From("alice", "Device/d"); len(got) != 0 {
		t.Errorf("when the answer is not fresh any more: %v", got)
	}
	m.Add("alice", "Device/d", "Observation", now)
	if got := m.From("alice", "Device/d"); len(got) != 0 {
		t.Errorf("of an answer that was not fresh: %v", got)
	}
	m.Add("alice", "Device/d", "Observation", now.Add(time.Hour))
	now = now.Add(-24 * time.Hour)
	if got := m.From("alice", "Device/d"); len(got) != 0 {
		t.Errorf("after the clock was set back: %v", got)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := New(func() time.Time { return now })
	for i := range mostEdges + 10 {
		m.Add("alice", string(rune(i)), "Observation", now.Add(time.Hour))
	}
	if n := len(m.recent) + len(m.older); n > mostEdges {
		t.Errorf("%d edges are kept", n)
	}
}
