package cache

import (
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// item is what memory holds under a name: an entry or a released answer.
type item struct {
	of       part
	epoch    string
	seen     uint64 // by the view that keeps it; see memory.seen
	entry    *entry
	released *Released
	life     time.Duration
}

// overhead is about what an item costs beside its bytes.
const overhead = 600

func (i *item) weight() uint32 {
	n := overhead
	if i.entry != nil {
		n += len(i.entry.body) + len(i.entry.etag)
	}
	if i.released != nil {
		n += len(i.released.Bytes)
	}
	return uint32(min(n, 1<<31))
}

// memory is the tier in process: bounded in bytes, and with an index by patient,
// so that what an epoch has made unusable frees its room at once.
type memory struct {
	items *otter.Cache[name, *item]

	mu    sync.Mutex
	parts map[part]*shelf
	count uint64 // of requests
}

// shelf is what is held of one patient at one source.
type shelf struct {
	epoch string
	seen  uint64 // the last request that read this epoch
	items map[name]*item
}

// expiry lets otter drop what has outlived its use; whether something may still
// be used is decided by who reads it, with the clock of the Cache.
type expiry struct{}

func (expiry) ExpireAfterCreate(e otter.Entry[name, *item]) time.Duration { return e.Value.life }
func (expiry) ExpireAfterUpdate(e otter.Entry[name, *item], _ *item) time.Duration {
	return e.Value.life
}
func (expiry) ExpireAfterRead(e otter.Entry[name, *item]) time.Duration { return e.ExpiresAfter() }

func newMemory(most int64) (*memory, error) {
	m := &memory{parts: map[part]*shelf{}}
	items, err := otter.New(&otter.Options[name, *item]{
		MaximumWeight:    uint64(most), //nolint:gosec // checked by New
		Weigher:          func(_ name, i *item) uint32 { return i.weight() },
		ExpiryCalculator: expiry{},
		OnDeletion:       func(e otter.DeletionEvent[name, *item]) { m.gone(e.Key, e.Value) },
	})
	if err != nil {
		return nil, err
	}
	m.items = items
	return m, nil
}

func (m *memory) close() { m.items.StopAllGoroutines() }

func (m *memory) entry(n name) *entry {
	if i, ok := m.items.GetIfPresent(n); ok {
		return i.entry
	}
	return nil
}

func (m *memory) released(n name) *Released {
	if i, ok := m.items.GetIfPresent(n); ok {
		return i.released
	}
	return nil
}

// put keeps i unless its epoch is over or something fetched later is there.
func (m *memory) put(n name, i *item) bool {
	m.mu.Lock()
	s := m.parts[i.of]
	if s != nil && s.epoch != i.epoch {
		if i.seen < s.seen {
			m.mu.Unlock()
			return false
		}
		defer m.drop(s)
		s = nil
	}
	if s == nil {
		s = &shelf{epoch: i.epoch, seen: i.seen, items: map[name]*item{}}
		m.parts[i.of] = s
	}
	if old := s.items[n]; old != nil && old.entry != nil && i.entry != nil && old.entry.fetched.After(i.entry.fetched) {
		m.mu.Unlock()
		return true
	}
	s.items[n] = i
	m.mu.Unlock()
	m.items.Set(n, i)
	return true
}

// seen is told the epoch at which a request begins; what is of another one is
// dropped. The number it gives orders requests.
func (m *memory) seen(of part, epoch string) uint64 {
	m.mu.Lock()
	m.count++
	n := m.count
	s := m.parts[of]
	if s == nil || s.epoch == epoch {
		if s != nil {
			s.seen = n
		}
		m.mu.Unlock()
		return n
	}
	delete(m.parts, of)
	m.mu.Unlock()
	m.drop(s)
	return n
}

// forget drops what is held of a patient, or of a whole source.
func (m *memory) forget(of part) {
	var out []*shelf
	m.mu.Lock()
	if s := m.parts[of]; s != nil { // one notification may name many, and there are many more
		out = append(out, s)
		delete(m.parts, of)
	}
	if of.patient == "" {
		for p, s := range m.parts {
			if p.source == of.source {
				out = append(out, s)
				delete(m.parts, p)
			}
		}
	}
	m.mu.Unlock()
	for _, s := range out {
		m.drop(s)
	}
}

// drop is given a shelf that nobody else can reach any more.
func (m *memory) drop(s *shelf) {
	m.mu.Lock()
	list := make([]name, 0, len(s.items))
	for n := range s.items {
		list = append(list, n)
	}
	m.mu.Unlock()
	for _, n := range list {
		m.items.Invalidate(n)
	}
}

// remove drops one name and says whether there was something.
func (m *memory) remove(n name) bool {
	_, had := m.items.Invalidate(n)
	return had
}

// gone takes what otter has dropped out of the index.
func (m *memory) gone(n name, i *item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.parts[i.of]
	if s == nil || s.items[n] != i {
		return
	}
	delete(s.items, n)
	if len(s.items) == 0 {
		delete(m.parts, i.of)
	}
}
