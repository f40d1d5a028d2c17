package gateway

import (
	"testing"
	"time"
)

func TestWhatLedToAResourceIsForgotten(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := newReachMemory(func() time.Time { return now })
	m.add("alice", "Device/d", "Observation", now.Add(time.Hour))
	m.add("alice", "Device/d", "Observation", now.Add(time.Hour))
	if got := m.from("alice", "Device/d"); len(got) != 1 || got[0].from != "Observation" {
		t.Errorf("at once: %v", got)
	}
	if got := m.from("bob", "Device/d"); len(got) != 0 {
		t.Errorf("another patient's: %v", got)
	}
	now = now.Add(reachAge/2 + time.Second)
	if got := m.from("alice", "Device/d"); len(got) != 1 || got[0].from != "Observation" {
		t.Errorf("in the next generation: %v", got)
	}
	now = now.Add(reachAge / 2)
	if got := m.from("alice", "Device/d"); len(got) != 0 {
		t.Errorf("after its time: %v", got)
	}
	m.add("alice", "Device/d", "Observation", now.Add(time.Hour))
	now = now.Add(reachAge)
	if got := m.from("alice", "Device/d"); len(got) != 0 {
		t.Errorf("after a pause: %v", got)
	}
	m.add("alice", "Device/d", "Observation", now.Add(time.Minute))
	now = now.Add(time.Minute)
	if got := m.from("alice", "Device/d"); len(got) != 0 {
		t.Errorf("when the answer is not fresh any more: %v", got)
	}
	m.add("alice", "Device/d", "Observation", now)
	if got := m.from("alice", "Device/d"); len(got) != 0 {
		t.Errorf("of an answer that was not fresh: %v", got)
	}
	m.add("alice", "Device/d", "Observation", now.Add(time.Hour))
	now = now.Add(-24 * time.Hour)
	if got := m.from("alice", "Device/d"); len(got) != 0 {
		t.Errorf("after the clock was set back: %v", got)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := newReachMemory(func() time.Time { return now })
	for i := range reachEdges + 10 {
		m.add("alice", string(rune(i)), "Observation", now.Add(time.Hour))
	}
	if n := len(m.recent) + len(m.older); n > reachEdges {
		t.Errorf("%d edges are kept", n)
	}
}
