package rate

import (
	"sync"
	"time"
)

// Table holds token buckets by key, in bounded memory: a bucket that is full again
// is forgotten. When all of so many are in use, whoever comes then shares one.
type Table struct {
	most int

	mu    sync.Mutex
	full  map[string]time.Time // when each is full again
	swept time.Time
}

// NewTable makes one for at most most keys; 0 means 100,000.
func NewTable(most int) *Table {
	if most <= 0 {
		most = 100_000
	}
	return &Table{most: most, full: map[string]time.Time{}}
}

// Take takes one of key's tokens if there is one; otherwise nothing is taken and
// wait says when there will be one.
func (t *Table) Take(key string, l Limit, now time.Time) (wait time.Duration, ok bool) {
	return t.Reserve(key, l, now, 0)
}

// Reserve takes one of key's tokens that may be used after wait, if that is no
// more than most; otherwise nothing is taken and there is none for wait.
func (t *Table) Reserve(key string, l Limit, now time.Time, most time.Duration) (wait time.Duration, ok bool) {
	if l.None() {
		return 0, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	full, known := t.full[key]
	if !known && len(t.full) >= t.most {
		if key = t.room(key, now); key == "" {
			full = t.full[""]
		}
	}
	// A clock that was set back, or a limit that was raised, must lock nobody out.
	if latest := now.Add(l.tolerance() + l.interval() + most); full.After(latest) {
		full = latest
	}
	full, wait = l.next(full, now)
	if wait > most {
		return wait, false
	}
	t.full[key] = full
	return wait, true
}

// room forgets what is full, at most once a second, and gives the key to use.
func (t *Table) room(key string, now time.Time) string {
	if since := now.Sub(t.swept); since >= time.Second || since < 0 {
		t.swept = now
		for k, full := range t.full {
			if !full.After(now) {
				delete(t.full, k)
			}
		}
	}
	if len(t.full) >= t.most {
		return ""
	}
	return key
}
