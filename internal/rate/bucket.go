package rate

import (
	"sync"
	"time"
)

// Limit is a token bucket: so many a second in the long run, so many at once.
type Limit struct {
	PerSecond float64
	Burst     int
}

// None says that there is no limit.
func (l Limit) None() bool { return l.PerSecond <= 0 }

// interval is what one token costs.
func (l Limit) interval() time.Duration {
	return time.Duration(float64(time.Second) / l.PerSecond)
}

// tolerance is how far ahead of time a bucket may be drawn: Burst tokens at once.
func (l Limit) tolerance() time.Duration {
	return time.Duration(max(l.Burst, 1)-1) * l.interval()
}

// next is the generic cell rate algorithm (ITU-T I.371, annex A): full is when the
// bucket would be full again. It gives the new full and how long the one token
// taken must wait; after a wait the token counts as taken only if it is waited.
func (l Limit) next(full, now time.Time) (after time.Time, wait time.Duration) {
	if full.Before(now) {
		full = now
	}
	wait = max(full.Add(-l.tolerance()).Sub(now), 0)
	return full.Add(l.interval()), wait
}

// Bucket is one token bucket. The zero value of its limit lets everything pass.
type Bucket struct {
	limit Limit

	mu   sync.Mutex
	full time.Time
}

// NewBucket makes a full one.
func NewBucket(l Limit) *Bucket { return &Bucket{limit: l} }

// Take takes a token if there is one; otherwise nothing is taken and wait says
// when there will be one.
func (b *Bucket) Take(now time.Time) (wait time.Duration, ok bool) {
	return b.Reserve(now, 0)
}

// Reserve takes a token that may be used after wait, if that is no more than
// most; otherwise nothing is taken.
func (b *Bucket) Reserve(now time.Time, most time.Duration) (wait time.Duration, ok bool) {
	if b.limit.None() {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	full, wait := b.limit.next(b.full, now)
	if wait > most {
		return wait, false
	}
	b.full = full
	return wait, true
}

// HalfFull says whether at least half of the burst is there now, and one that comes
// after the next one would not have to wait.
func (b *Bucket) HalfFull(now time.Time) bool {
	if b.limit.None() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	ahead := b.limit.tolerance()
	return max(b.full.Sub(now), 0) <= min(ahead/2, ahead-b.limit.interval())
}
