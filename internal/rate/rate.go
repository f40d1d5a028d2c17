// Package rate bounds how often one party may do something, in bounded memory. It
// must not know what that is.
package rate

import (
	"net/netip"
	"sync"
	"time"
)

// maxAddresses bounds the memory of a limiter; whoever comes after that many in
// one window shares what is left with all the others.
const maxAddresses = 10000

// Limiter counts what each address does in a window of time.
type Limiter struct {
	most   int
	window time.Duration

	mu    sync.Mutex
	began time.Time
	seen  map[string]int
}

// New allows most in each window.
func New(most int, window time.Duration) *Limiter {
	return &Limiter{most: most, window: window, seen: map[string]int{}}
}

// Allow counts one more for an address and tells whether it is within the limit,
// otherwise how long to wait.
func (l *Limiter) Allow(addr string, now time.Time) (wait time.Duration, ok bool) {
	return l.AllowKey(network(addr).String(), now)
}

// AllowKey is Allow for whatever else tells parties apart.
func (l *Limiter) AllowKey(key string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.began); age >= l.window || age < 0 {
		l.began = now
		clear(l.seen)
	}
	if _, known := l.seen[key]; !known && len(l.seen) >= maxAddresses {
		key = ""
	}
	if l.seen[key] >= l.most {
		return l.began.Add(l.window).Sub(now), false
	}
	l.seen[key]++
	return 0, true
}

// network is what one party has for itself: an IPv4 address, an IPv6 /64.
// Addresses that cannot be read share one count.
func network(addr string) netip.Prefix {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}
