package resilience

import (
	"context"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
)

// maxPause bounds how long the EHR's word keeps everybody away: a mistake there,
// such as a date of next year, must not need a restart here.
const maxPause = 10 * time.Minute

// pause is until when the EHR has asked to be left alone (RFC 9110 §10.2.3,
// RFC 6585 §4). It holds for all requests of the source.
type pause struct {
	mu    sync.Mutex
	until time.Time
	kind  fault.Kind
}

// begin keeps the longest of what was asked.
func (p *pause) begin(until time.Time, kind fault.Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until, p.kind = until, kind
	}
}

func (p *pause) left(now time.Time) (time.Duration, fault.Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until.Sub(now), p.kind
}

// wait sits out what is short, and refuses what is not.
func (p *pause) wait(ctx context.Context, now func() time.Time, most time.Duration) error {
	left, kind := p.left(now())
	if left > most {
		return fault.Later(kind, left, "The record system asks for fewer requests.")
	}
	return sleep(ctx, left)
}
