package cache

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// How an answer came about when the upstream was asked (RFC 9211 §2.2).
const (
	fwdMiss    = "uri-miss"
	fwdStale   = "stale"
	fwdRequest = "request" // the app's Cache-Control wanted it
	fwdBypass  = "bypass"  // the cache cannot be used now
)

// Status is what became of the upstream answers of one request, taken together.
type Status struct {
	asked     bool   // at least one answer was wanted
	fwd       string // "" when all of them were hits
	stored    bool
	collapsed bool
	stale     bool
	failed    bool // stale because the upstream failed
	aged      bool // something was taken from the cache
	age, ttl  time.Duration
}

// CacheStatus gives the Cache-Status header (RFC 9211), "" when no cache was
// asked. It speaks of the patient's own entries alone: there are no others.
func (s Status) CacheStatus() string {
	if !s.asked {
		return ""
	}
	var out strings.Builder
	_, _ = out.WriteString("portico") // never fails
	if s.fwd == "" {
		_, _ = out.WriteString("; hit; ttl=" + strconv.FormatInt(int64(s.ttl/time.Second), 10))
		return out.String()
	}
	_, _ = out.WriteString("; fwd=" + s.fwd)
	if s.stored {
		_, _ = out.WriteString("; stored")
	}
	if s.collapsed {
		_, _ = out.WriteString("; collapsed")
	}
	return out.String()
}

// Word gives the same in one word for logs and metrics: hit, stale, miss, bypass
// or shared; "" when no cache was asked.
func (s Status) Word() string {
	switch {
	case !s.asked:
		return ""
	case s.stale || s.failed:
		return "stale"
	case s.fwd == "":
		return "hit"
	case s.collapsed:
		return "shared"
	case s.fwd == fwdRequest, s.fwd == fwdBypass:
		return "bypass"
	}
	return "miss"
}

// Seconds gives how old the oldest part is that was taken from the cache.
func (s Status) Seconds() float64 { return s.age.Seconds() }

// Age gives the Age header in seconds, "" when nothing was taken from the cache.
func (s Status) Age() string {
	if !s.aged {
		return ""
	}
	return strconv.FormatInt(int64(s.age/time.Second), 10)
}

// Warning gives the Warning header (RFC 7234 §5.5), "" when all was fresh.
func (s Status) Warning() string {
	switch {
	case s.failed:
		return `111 portico "Revalidation Failed"`
	case s.stale:
		return `110 portico "Response is Stale"`
	}
	return ""
}

// tally collects the status of a request from all its calls.
type tally struct {
	mu       sync.Mutex
	s        Status
	oldest   time.Time // of what was taken from the cache
	first    time.Time // of everything
	until    time.Time // when the first of it is no longer fresh
	troubled bool      // something failed or was old: not to be kept as released
	asked    []asked   // that was remembered for refreshing
}

// from notes a question that the answer is made from.
func (t *tally) from(a asked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.asked) < maxRecentOfOne {
		t.asked = append(t.asked, a)
	}
}

// hit notes an answer from the cache.
func (t *tally) hit(fetched time.Time, ttl time.Duration, stale, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.asked = true
	if t.oldest.IsZero() || fetched.Before(t.oldest) {
		t.oldest = fetched
	}
	t.s.stale, t.s.failed = t.s.stale || stale, t.s.failed || failed
	t.troubled = t.troubled || stale || failed
	if failed && t.s.fwd == "" {
		t.s.fwd = fwdStale
	}
	t.used(fetched, ttl)
}

// fetched notes an answer that the upstream gave.
func (t *tally) fetched(at time.Time, ttl time.Duration, fwd string, collapsed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.asked = true
	if t.s.fwd == "" {
		t.s.fwd = fwd
	}
	t.s.collapsed = t.s.collapsed || collapsed
	t.used(at, ttl)
}

func (t *tally) used(fetched time.Time, ttl time.Duration) {
	if t.first.IsZero() || fetched.Before(t.first) {
		t.first = fetched
	}
	if end := fetched.Add(ttl); t.until.IsZero() || end.Before(t.until) {
		t.until = end
	}
}

func (t *tally) stored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.stored = true
}

func (t *tally) trouble() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.troubled = true
}

func (t *tally) status(now time.Time) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	if !t.oldest.IsZero() {
		s.aged, s.age = true, max(now.Sub(t.oldest), 0)
	}
	s.ttl = t.until.Sub(now)
	return s
}
