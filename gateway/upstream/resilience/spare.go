package resilience

// Spare says whether one more request would keep nobody waiting: the EHR answers,
// has not asked to be left alone, at least half of its places are free, and at
// least half of what it may get at once is left. It is for what nobody waits for.
func (t *Transport) Spare() bool {
	now := t.o.Now()
	if left, _ := t.pause.left(now); left > 0 {
		return false
	}
	if word, _, _ := t.guard.state(); word != "closed" && word != "off" {
		return false
	}
	return 2*t.health.snapshot().InFlight < t.o.Concurrent && t.bucket.HalfFull(now)
}
