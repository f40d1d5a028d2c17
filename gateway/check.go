package gateway

import (
	"iter"
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/gateway/guard"
)

// kept is a resource that may leave, with the places to be masked in it.
type kept struct {
	resource *fhir.Resource
	mask     []fhir.Node
	match    bool // a match of the search, not an include
	change   change
	at       pending // where it was found
	note     *explain.Entry
}

// check is step 6: every resource is judged, whatever was asked. What is not
// kept is counted and gone; an error while judging ends everything.
func (g *Gateway) check(x *exchange, found items) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		var held *companions
		if !x.several && len(x.ask.Query.Include)+len(x.ask.Query.RevInclude) > 0 {
			held = newCompanions(x.who.Base)
		}
		for one, err := range found {
			if err != nil {
				yield(kept{}, err)
				return
			}
			if one.Mode == "outcome" {
				continue // the upstream's own remarks stay with the upstream
			}
			if x.exhausted() {
				x.next = []pending{one.at}
				return
			}
			this, said, err := g.examine(x, one)
			if err != nil {
				yield(kept{}, err)
				return
			}
			if !said.passed {
				x.withhold(one, said.reason)
				continue
			}
			if !x.wanted(this) {
				x.noted(one, "left-out", "unwanted")
				continue
			}
			if this.match {
				x.counts.matches++
			}
			this.note = x.keeps(one, this.mask, said.reason)
			if held != nil && !this.match {
				held.wait(this)
				continue
			}
			if held != nil {
				held.leaves(held.read(this))
			}
			if !yield(this, nil) {
				return
			}
		}
		if err := g.sameWork(x); err != nil {
			yield(kept{}, err)
			return
		}
		g.release(x, held, yield)
	}
}

// examine says whether one thing that came back may leave.
func (g *Gateway) examine(x *exchange, one item) (kept, ruling, error) {
	this := kept{resource: one.Resource, at: one.at, change: change{method: one.Change.Method}}
	if one.Change.Gone {
		this.match = true
		this.change = change{gone: true, etag: one.Change.ETag, at: one.Change.LastModified}
		passed, err := g.judgeGone(x, one)
		return this, ruling{passed: passed, match: true, reason: "deleted"}, err
	}
	if malformed := one.Resource == nil || one.Err != nil; malformed {
		return this, ruling{reason: "malformed"}, nil // nobody can tell whose it is
	}
	said, err := g.judge(x, one)
	this.match, this.mask = said.match, said.mask
	x.passed = x.passed || said.passed
	return this, said, err
}

// wanted says whether what may leave was asked for, beside what the plan says.
func (x *exchange) wanted(one kept) bool {
	if one.change.gone {
		return !x.early(one.change.at)
	}
	if !one.match {
		return true
	}
	if filter := x.filters[one.resource.Type()]; filter != nil {
		if satisfied, err := filter.Match(one.resource); !satisfied || err != nil {
			return false
		}
	}
	if x.also != nil && !x.also(one.resource) {
		return false
	}
	return !x.early(one.resource.LastUpdated())
}

// choose is what an operation makes of all that may leave: it takes out, and
// puts in order, and adds what is judged in the same way.
func (g *Gateway) choose(x *exchange, in iter.Seq2[kept, error]) iter.Seq2[kept, error] {
	switch {
	case x.several:
		return g.paged(x, in)
	case x.pick != nil:
		return x.pick(in)
	}
	return in
}

// release gives the companions of what a partial answer holds.
func (g *Gateway) release(x *exchange, held *companions, yield func(kept, error) bool) {
	if held == nil {
		return
	}
	for _, one := range held.joined() {
		if !yield(one.kept, nil) {
			return
		}
	}
	for _, one := range held.waiting {
		x.counts.withheld++
		if x.depth == 0 {
			x.log.Withhold("unjoined")
			x.trace.Withdraw(one.note, "unjoined")
		}
	}
}

// withhold counts a resource that does not leave, with the reason as a constant
// word.
func (x *exchange) withhold(one item, reason string) {
	x.counts.withheld++
	x.narrow = x.narrow || reason == "scope"
	x.noted(one, "withheld", reason)
	if x.depth == 0 { // what a proof passes over is nothing that was asked
		x.log.Withhold(reason)
	}
}

// keeps notes for a trace what is kept.
func (x *exchange) keeps(one item, mask []fhir.Node, reason string) *explain.Entry {
	became := "kept"
	if len(mask) > 0 {
		became = "masked"
	}
	return x.noted(one, became, reason)
}

// noted notes for a trace what became of a resource.
func (x *exchange) noted(one item, became, reason string) *explain.Entry {
	typ := ""
	if one.Resource != nil {
		typ = one.Resource.Type()
	}
	return x.trace.Entry(explain.Place{From: one.from, Position: one.position, Mode: one.Mode, Proof: x.depth > 0}, typ, became, reason)
}

// ruling is what becomes of one resource.
type ruling struct {
	passed bool
	match  bool        // a match of the search, not an include
	mask   []fhir.Node // when passed
	reason string      // a constant word
}

// judge asks the guard, and brings the proof where the guard wants one.
func (g *Gateway) judge(x *exchange, one item) (ruling, error) {
	r := one.Resource
	v, match := one.plan.JudgeFound(r, one.Mode, one.call)
	said := ruling{match: match, mask: v.Mask, reason: v.Reason}
	x.noteLabel(one, v)
	old := one.plan.Ask.Interaction == guard.VRead || one.plan.Ask.Interaction == guard.History
	var err error
	switch v.Decision {
	case guard.Keep:
		said.passed = true
	case guard.ProveTargets:
		if said.passed, err = g.proveAll(x, v.Targets); !said.passed {
			said.reason = "unproven-target"
		}
	case guard.ProveReach:
		if said.passed, err = g.proveReach(x, r.Type(), r.ID()); !said.passed {
			said.reason = "unproven-reach"
		} else if old {
			said.passed, err = g.isNow(x, r)
		}
	case guard.Withhold:
	}
	if err != nil || !said.passed {
		return ruling{reason: said.reason}, err
	}
	if old {
		return said, nil // what was so then proves nothing of now
	}
	x.confirmCache()
	x.proves(r.Type()+"/"+r.ID(), true)
	if v.Reason == "own" {
		x.remember(r)
	}
	return said, nil
}

// remember notes what the patient's own resources point to, so that a Device or
// a Binary seen there can be read without searching for what leads to it. Only
// the types that a search would ask count: what others hold may be the patient's
// own words, an attachment in an answer to a questionnaire for instance, and
// nobody may write themselves a way to a resource.
func (x *exchange) remember(r *fhir.Resource) {
	leads := x.who.Leads(r)
	if leads {
		x.sees("own "+r.Type()+"/"+r.ID(), r.Type())
		x.rememberFiles(r)
	}
	r.Root().Descend(func(n fhir.Node) {
		if !n.IsString() || !n.Named("reference") && !n.Named("url") {
			return
		}
		to := x.who.Base.Resolve(n.Text())
		points := func(p compartment.Pointer) bool { return p.Type == r.Type() }
		if to.Where == fhir.Local && (leads || to.Type != "Binary") && slices.ContainsFunc(compartment.Of(to.Type).Pointers, points) {
			x.sees(to.Type+"/"+to.ID, r.Type())
			if x.readsAll(r.Type()) {
				x.proves("reach "+to.Type+"/"+to.ID, true) // for this request, however old the answer is
			}
		}
	})
}
