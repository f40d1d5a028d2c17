package gateway

import (
	"iter"
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/guard"
)

// kept is a resource that may leave, with the places to be masked in it.
type kept struct {
	resource *fhir.Resource
	mask     []fhir.Node
	match    bool // a match of the search, not an include
}

// check is step 6: every resource is judged, whatever was asked. What is not
// kept is counted and gone; an error while judging ends everything.
func (g *Gateway) check(x *exchange, found items) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		var held *companions
		if len(x.plans) == 1 && x.plans[0].Partial { // $everything asks for no includes
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
			if one.Resource == nil || one.Err != nil {
				x.withhold("malformed") // nobody can tell whose it is
				continue
			}
			said, err := g.judge(x, one)
			if err != nil {
				yield(kept{}, err)
				return
			}
			if !said.passed {
				x.withhold(said.reason)
				continue
			}
			if said.match {
				x.counts.matches++
			}
			this := kept{one.Resource, said.mask, said.match}
			if held != nil && !said.match {
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
	for range held.waiting {
		x.withhold("unjoined")
	}
}

// withhold counts a resource that does not leave, with the reason as a constant
// word.
func (x *exchange) withhold(reason string) {
	x.counts.withheld++
	if x.depth == 0 { // what a proof passes over is nothing that was asked
		x.log.Withhold(reason)
	}
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
		}
	case guard.Withhold:
	}
	if err != nil || !said.passed {
		return ruling{reason: said.reason}, err
	}
	if len(x.proven) < maxProven {
		x.proven[r.Type()+"/"+r.ID()] = true
	}
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
	r.Root().Descend(func(n fhir.Node) {
		if !n.IsString() || !n.Named("reference") && !n.Named("url") {
			return
		}
		to := x.who.Base.Resolve(n.Text())
		leads := func(p compartment.Pointer) bool { return p.Type == r.Type() }
		if to.Where == fhir.Local && slices.ContainsFunc(compartment.Of(to.Type).Pointers, leads) {
			x.src.reach.add(x.who.Patient, to.Type+"/"+to.ID, r.Type())
		}
	})
}
