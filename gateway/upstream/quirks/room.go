package quirks

import (
	"time"

	"golang.org/x/sync/semaphore"

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
type Room struct {
	left *semaphore.Weighted
}

// NewRoom makes room for so many bytes.
func NewRoom(bytes int64) *Room { return &Room{semaphore.NewWeighted(bytes)} }

// lease is what one search holds of a Room.
type lease struct {
	room       *Room
	used, held int64
}

// take adds to what is held.
func (l *lease) take(bytes int) error {
	l.used += int64(bytes)
	if l.used <= l.held {
		return nil
	}
	more := (l.used - l.held + leaseStep - 1) / leaseStep * leaseStep
	if !l.room.left.TryAcquire(more) {
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
		l.room.left.Release(less)
		l.held -= less
	}
}

// end gives back all.
func (l *lease) end() {
	l.room.left.Release(l.held)
	l.used, l.held = 0, 0
}
