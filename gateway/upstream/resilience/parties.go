package resilience

import (
	"sync"
	"time"
)

// maxParties bounds the memory for them; those who come beyond share one record.
const maxParties = 1000

// parties tells an EHR that fails from a party that makes it fail.
//
// A connection that does not come about is the EHR's own. Whatever an EHR that was
// reached does badly, errors and time-outs, may be provoked by what is asked: a
// search that takes it minutes, for instance. So that counts for the party first,
// which has a breaker of its own. It counts for the EHR as well as soon as it is not
// that party alone: when of the others who asked lately more met a failure at last
// than did not. With nobody else the party's own breaker leaves the EHR alone.
type parties struct {
	o   Options
	ehr *breaker

	mu    sync.Mutex
	of    map[string]*party
	swept time.Time
}

// party is forgotten when it has not asked for Breaker.Window.
type party struct {
	own *breaker

	// Under the lock of parties:
	asked time.Time // when it asked last
	ended time.Time // when it had the latest answer or failure; zero: never
	well  bool      // what that was
	tries bool      // it has one of the EHR's probes
}

// permit is the right to ask once.
type permit struct {
	of         *party // nil: nobody's
	probe, own bool   // the EHR's breaker, and the party's, want to know how it ends
	tries      bool   // for party.tries
}

func newParties(o Options, ehr *breaker) *parties {
	return &parties{o: o, ehr: ehr, of: map[string]*party{}}
}

// closed refuses what need not wait for anything, since nothing is asked now.
func (p *parties) closed(key string) error {
	if left := p.ehr.closedFor(); left > 0 {
		return errOpen(left)
	}
	p.mu.Lock()
	one := p.of[key]
	p.mu.Unlock()
	if one == nil {
		return nil
	}
	if left := one.own.closedFor(); left > 0 {
		return errOpenFor(left)
	}
	return nil
}

// well says whether neither breaker has reason for doubt.
func (p *parties) well(key string) bool {
	if word := p.ehr.read().word; word != stateClosed && word != stateOff {
		return false
	}
	p.mu.Lock()
	one := p.of[key]
	p.mu.Unlock()
	return one == nil || one.own.read().word == stateClosed
}

// admit asks the party's breaker and then the EHR's.
func (p *parties) admit(key string) (permit, error) {
	m, ok := permit{of: p.join(key)}, false
	if m.of != nil {
		if m.own, ok = m.of.own.admit(); !ok {
			return permit{}, errOpenFor(m.of.own.closedFor())
		}
	}
	if m.tries, ok = p.tries(m.of); !ok {
		p.forget(m)
		return permit{}, errOpen(p.ehr.closedFor())
	}
	if m.probe, ok = p.ehr.admit(); !ok {
		p.forget(m)
		return permit{}, errOpen(p.ehr.closedFor())
	}
	return m, nil
}

// tries lets a party have one of the few probes at a time: with slow questions it
// could hold all of them, and keep everybody away from an EHR that is well again.
func (p *parties) tries(of *party) (begun, ok bool) {
	if of == nil || p.ehr.b.IsClosed() {
		return false, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if of.tries {
		return false, false
	}
	of.tries = true
	return true, true
}

// ends is called once with each permit, however it ended.
func (p *parties) ends(m permit) {
	if m.tries {
		p.mu.Lock()
		defer p.mu.Unlock()
		m.of.tries = false
	}
}

// join gives the party's record, making one; nil for what is nobody's.
func (p *parties) join(key string) *party {
	if key == "" || p.ehr == nil {
		return nil
	}
	now := p.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
	one := p.of[key]
	if one == nil && len(p.of) >= maxParties {
		key = ""
		one = p.of[key]
	}
	if one == nil {
		one = &party{own: newBreaker(p.o.Breaker)}
		p.of[key] = one
	}
	one.asked = now
	return one
}

// sweep forgets, now and then, who has not asked lately.
func (p *parties) sweep(now time.Time) {
	if since := now.Sub(p.swept); since < p.o.Breaker.Window && since >= 0 {
		return
	}
	p.swept = now
	for key, one := range p.of {
		if !p.lately(one.asked, now) && one.own.closedFor() == 0 {
			delete(p.of, key)
		}
	}
}

func (p *parties) lately(at, now time.Time) bool { return now.Sub(at) <= p.o.Breaker.Window }

// answered notes an answer that is no failure.
func (p *parties) answered(m permit) {
	defer p.ends(m)
	p.note(m.of, true)
	if m.of != nil {
		m.of.own.learn(true, m.own)
	}
	p.ehr.learn(true, m.probe)
}

// failed notes a failure that what was asked may have provoked.
func (p *parties) failed(m permit) {
	defer p.ends(m)
	ehrs := p.note(m.of, false)
	if m.of != nil {
		m.of.own.learn(false, m.own)
	}
	if ehrs {
		p.ehr.learn(false, m.probe)
		return
	}
	p.ehr.forget(m.probe)
}

// unreachable notes that no connection came about, which nobody can provoke.
func (p *parties) unreachable(m permit) {
	defer p.ends(m)
	p.note(m.of, false)
	if m.of != nil {
		m.of.own.forget(m.own)
	}
	p.ehr.learn(false, m.probe)
}

// forget gives back what taught nothing.
func (p *parties) forget(m permit) {
	defer p.ends(m)
	if m.of != nil {
		m.of.own.forget(m.own)
	}
	p.ehr.forget(m.probe)
}

// note remembers how it ended for a party, and says whether a failure is the EHR's:
// more of the others met one at last than did not.
func (p *parties) note(of *party, well bool) (ehrs bool) {
	if of == nil {
		return true
	}
	now := p.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	of.ended, of.well = now, well
	if well {
		return false
	}
	failing := 0
	for _, one := range p.of {
		switch {
		case one == of, !p.lately(one.ended, now):
		case one.well:
			failing--
		default:
			failing++
		}
	}
	return failing > 0
}

// read tells how the EHR's breaker is; open, too, when everybody who asked lately is
// kept away by their own.
func (p *parties) read() reading {
	r := p.ehr.read()
	if r.word != stateClosed {
		return r
	}
	now := p.o.Now()
	all := reading{word: stateClosed}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.of {
		own := one.own.read()
		switch {
		case own.openFor == 0 && !p.lately(one.asked, now):
		case own.word == stateClosed:
			return r
		case all.word == stateClosed:
			all = own
		default:
			all = all.with(own)
		}
	}
	if all.word == stateClosed {
		return r
	}
	return all
}
