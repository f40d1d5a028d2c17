package cache

import (
	"context"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/rate"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// Refresh says whether searches that a patient's apps made lately are made again
// after a change, so that the next request finds them. One is made again only while
// a token that asked it has not ended; that it was revoked is not looked at.
type Refresh struct {
	Active    time.Duration // how lately; 0: nothing is refreshed
	PerMinute int           // most of such searches at one source; 0 means 60
}

// The bounds of what is remembered for refreshing.
const (
	maxRecentParts    = 2000
	maxRecentSearches = 20 // of one patient
	refreshQueue      = 500
	refreshers        = 2
)

// recents remembers what was searched lately. It is nil when nothing is to be
// refreshed.
type recents struct {
	o     Refresh
	rate  *rate.Limiter
	queue chan recent

	mu    sync.Mutex
	parts map[part]map[string]recent
}

type recent struct {
	r     Request
	party string // who asked last: it counts as asked by them
	q     question
	fetch fetcher
	used  time.Time
}

func newRecents(o Refresh) *recents {
	if o.Active <= 0 {
		return nil
	}
	if o.PerMinute <= 0 {
		o.PerMinute = 60
	}
	return &recents{o: o, rate: rate.New(o.PerMinute, time.Minute), queue: make(chan recent, refreshQueue), parts: map[part]map[string]recent{}}
}

// note remembers a search; pages and reads are not made again.
func (r *recents) note(v *View, q question, fetch fetcher) {
	if r == nil || q.kind != "search" {
		return
	}
	now := v.c.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.parts[v.of]
	if list == nil {
		if len(r.parts) >= maxRecentParts && !r.sweep(now) {
			return
		}
		list = map[string]recent{}
		r.parts[v.of] = list
	}
	key := q.typ + "?" + q.request
	if _, known := list[key]; !known && len(list) >= maxRecentSearches {
		oldest := ""
		for k, one := range list {
			if oldest == "" || one.used.Before(list[oldest].used) {
				oldest = k
			}
		}
		delete(list, oldest)
	}
	request := v.r
	request.Control = Control{}
	if was, known := list[key]; known && was.r.Until.After(request.Until) {
		request.Until = was.r.Until // of another app
	}
	list[key] = recent{r: request, party: v.party, q: q, fetch: fetch, used: now}
}

// sweep forgets whoever has not been active, and says whether there is room.
func (r *recents) sweep(now time.Time) bool {
	for of, list := range r.parts {
		active := false
		for _, one := range list {
			active = active || now.Sub(one.used) < r.o.Active
		}
		if !active {
			delete(r.parts, of)
		}
	}
	return len(r.parts) < maxRecentParts
}

// again queues what was searched lately for a patient. What finds no room is
// left: the next request asks for itself.
func (c *Cache) again(of part) {
	r := c.recents
	if r == nil {
		return
	}
	now := c.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.parts[of] {
		if now.Sub(one.used) >= r.o.Active || !now.Before(one.r.Until) {
			continue
		}
		select {
		case r.queue <- one:
		default:
			return
		}
	}
}

// refresher works through the queue, within the source's budget.
func (c *Cache) refresher() {
	for {
		select {
		case <-c.life.Done():
			return
		case one := <-c.recents.queue:
			if !c.o.Now().Before(one.r.Until) {
				continue
			}
			if _, ok := c.recents.rate.AllowKey(one.r.Source, c.o.Now()); ok {
				c.prefetch(one)
			}
		}
	}
}

func (c *Cache) prefetch(one recent) {
	ctx, cancel := context.WithCancel(reqctx.WithParty(c.life, one.party))
	defer cancel()
	v := c.View(ctx, one.r)
	ttl := c.o.TTL(one.r.Source, one.q.typ)
	if v.off != "" || ttl <= 0 {
		return
	}
	j := &job{v: v, q: one.q, ttl: ttl, name: c.names.of("entry", v.of.source, v.of.patient, v.epoch, one.q.kind, one.q.typ, one.q.request), fetch: one.fetch}
	if e := c.lookup(ctx, j); e != nil && v.age(e) < ttl {
		return
	}
	f, _ := c.join(ctx, j, false)
	f.drain(ctx)
}
