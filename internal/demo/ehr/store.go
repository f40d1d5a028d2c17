package ehr

import (
	"hash/maphash"
	"slices"
	"strconv"
	"sync"

	"github.com/portico-fhir/portico/fhir"
)

// store keeps every version of every resource and finds them by type and id, by
// type, and by what they refer to. Nothing is kept parsed: a resource costs its
// bytes and about 80 more, of which the garbage collector scans none.
//
// Keys are 64-bit hashes with a random seed. Whoever looks something up parses
// what it found and checks it, so a collision costs time and never a wrong
// answer.
type store struct {
	seed maphash.Seed

	mu       sync.RWMutex
	arena    arena
	records  []version // the current version of each resource, in order of arrival
	old      []version // superseded versions
	byType   [len(resourceTypes)][]uint32
	index    map[uint64]entry
	postings []posting
}

// version is one state of a resource.
type version struct {
	span
	prev uint32 // place in store.old of the version before, plus one; 0 when first
	typ  uint8
	gone bool // a deletion; the bytes are a tombstone with id and meta only
}

// entry is what one key leads to: a resource, and those that refer to it. Both
// are places plus one, 0 for none.
type entry struct{ record, refs uint32 }

// posting is one link of the list of records under a key.
type posting struct{ record, next uint32 }

// stored is one version of a resource as it leaves the store.
type stored struct {
	record  uint32
	ordinal int // 1 for the first version
	gone    bool
	raw     []byte
}

func newStore() *store {
	return &store{seed: maphash.MakeSeed(), index: map[uint64]entry{}}
}

func (s *store) key(kind, name string) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(kind) // a Hash never fails
	_ = h.WriteByte('/')
	_, _ = h.WriteString(name)
	return h.Sum64()
}

// put stores the next version of a resource. keys are what it can be found by.
func (s *store) put(typ int, id string, raw []byte, keys []uint64, gone bool) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := version{span: s.arena.put(raw), typ: uint8(typ), gone: gone} //nolint:gosec // there are 147 types
	record, slot, found := s.locate(typ, id)
	if found {
		s.old = append(s.old, s.records[record])
		v.prev = uint32(len(s.old)) //nolint:gosec // fewer than 2^32 versions fit in memory
		s.records[record] = v
	} else {
		record = uint32(len(s.records)) //nolint:gosec // as above
		s.records = append(s.records, v)
		s.byType[typ] = append(s.byType[typ], record)
		e := s.index[slot]
		e.record = record + 1
		s.index[slot] = e
	}
	for _, key := range keys {
		e := s.index[key]
		s.postings = append(s.postings, posting{record, e.refs})
		e.refs = uint32(len(s.postings)) //nolint:gosec // as above
		s.index[key] = e
	}
	return record
}

// locate finds the record of a resource, or the key under which it belongs.
func (s *store) locate(typ int, id string) (record uint32, slot uint64, found bool) {
	for slot = s.key(resourceTypes[typ].name, id); ; slot++ {
		e := s.index[slot]
		if e.record == 0 {
			return 0, slot, false
		}
		v := s.records[e.record-1]
		if res, err := fhir.ParseResource(s.arena.get(v.span)); err == nil && int(v.typ) == typ && res.ID() == id {
			return e.record - 1, slot, true
		}
	}
}

// find gives the current version of a resource, a deletion included.
func (s *store) find(typ int, id string) (stored, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	record, _, ok := s.locate(typ, id)
	if !ok {
		return stored{}, false
	}
	return s.current(record), true
}

// get gives the current version of a record.
func (s *store) get(record uint32) stored {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current(record)
}

func (s *store) current(record uint32) stored {
	v := s.records[record]
	ordinal := 1
	for prev := v.prev; prev != 0; prev = s.old[prev-1].prev {
		ordinal++
	}
	return stored{record: record, ordinal: ordinal, gone: v.gone, raw: s.arena.get(v.span)}
}

// versions gives all versions of a record, newest first.
func (s *store) versions(record uint32) []stored {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := []stored{s.current(record)}
	for prev := s.records[record].prev; prev != 0; prev = s.old[prev-1].prev {
		v := s.old[prev-1]
		all = append(all, stored{record: record, ordinal: all[len(all)-1].ordinal - 1, gone: v.gone, raw: s.arena.get(v.span)})
	}
	return all
}

// ofType gives the records of a type in order of arrival.
func (s *store) ofType(typ int) []uint32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byType[typ][:len(s.byType[typ]):len(s.byType[typ])]
}

// under gives the records of one type (or of all, with -1) that are listed
// under a key now or were once, in order of arrival.
func (s *store) under(key uint64, typ int) []uint32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []uint32
	for at := s.index[key].refs; at != 0; at = s.postings[at-1].next {
		record := s.postings[at-1].record
		if typ < 0 || int(s.records[record].typ) == typ {
			found = append(found, record)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// size gives the number of resources.
func (s *store) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.records)
}

// versionID is meta.versionId where the bytes have one, else the place in the
// order of versions: loaded resources keep their bytes, so it may not be there.
func versionID(res *fhir.Resource, ordinal int) string {
	if v := res.VersionID(); v != "" {
		return v
	}
	return strconv.Itoa(ordinal)
}
