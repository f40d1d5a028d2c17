package quirks

import (
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// DefaultRoom is room for two searches that hold as much as one may, or for many
// that hold what they usually do. In bytes.
const DefaultRoom = 2 * maxSortedSize

const (
	leaseStep = 256 << 10 // bytes that are taken at once
	crowded   = 5 * time.Second
)

// Room is the memory that all searches together may hold whose results must be
// gathered before the first one can be given. What finds no room is refused and
// not made to wait: what it waits for may wait for it.
//
// One party (reqctx.Party) has three quarters of it at most: it may read slowly what
// was gathered, and holds it until then.
type Room struct {
	mu         sync.Mutex
	left, most int64            // of all; of one party
	held       map[string]int64 // by party, while it holds something
}

// NewRoom makes room for so many bytes.
func NewRoom(bytes int64) *Room {
	return &Room{left: bytes, most: bytes / 4 * 3, held: map[string]int64{}}
}

// take says whether there was room. What is nobody's has no bound of its own.
func (r *Room) take(party string, bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes > r.left || party != "" && r.held[party]+bytes > r.most {
		return false
	}
	r.left -= bytes
	r.held[party] += bytes
	return true
}

func (r *Room) give(party string, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += bytes
	if r.held[party] -= bytes; r.held[party] == 0 {
		delete(r.held, party)
	}
}

// lease is what one search holds of a Room.
type lease struct {
	room       *Room
	party      string
	used, held int64
}

// take adds to what is held.
func (l *lease) take(bytes int) error {
	l.used += int64(bytes)
	if l.used <= l.held {
		return nil
	}
	more := (l.used - l.held + leaseStep - 1) / leaseStep * leaseStep
	if !l.room.take(l.party, more) {
		return &fault.Error{
			Kind: fault.Unavailable, Err: upstream.ErrCostly, RetryAfter: crowded,
			Public: "There are too many searches at once whose results must be gathered first: try again in a moment, narrow the search, or leave out _sort.",
		}
	}
	l.held += more
	return nil
}

// give gives back some of what is held.
func (l *lease) give(bytes int) {
	l.used -= int64(bytes)
	if less := (l.held - l.used) / leaseStep * leaseStep; less > 0 {
		l.room.give(l.party, less)
		l.held -= less
	}
}

// end gives back all.
func (l *lease) end() {
	l.room.give(l.party, l.held)
	l.used, l.held = 0, 0
}
