package gateway

import (
	"cmp"
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxProofs     = 100    // fetches, pages included, one request may cost the upstream to prove things
	maxProofDepth = 2      // a proof may need one more proof, no chains
	maxProven     = 10_000 // results that are kept: memory must not grow with a Bundle
)

// proveAll says whether every target may be read with this token (owner rule,
// types that belong to whoever owns what they point to).
func (g *Gateway) proveAll(x *exchange, targets []fhir.Reference) (bool, error) {
	for _, t := range targets {
		ok, err := g.proveOne(x, t)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// proveOne fetches a target and judges it like any read. What this request has
// already released needs no fetch.
func (g *Gateway) proveOne(x *exchange, t fhir.Reference) (bool, error) {
	key := t.Type + "/" + t.ID
	if known, ok := x.proven[key]; ok {
		x.trace.Proof("target", t.Type, known, "known")
		return known, nil
	}
	// What leads to files was released to this patient a moment ago.
	if x.readsAll(t.Type) && x.saw("own "+key, anyType) {
		x.trace.Proof("target", t.Type, true, "remembered")
		return true, nil
	}
	ask := guard.Ask{Interaction: guard.Read, Type: t.Type, ID: t.ID}
	if why := x.mayProve(ask); why != "" {
		x.trace.Proof("target", t.Type, false, why)
		return false, nil // undecidable is withheld
	}
	*x.proofs++
	sub := x.sub(ask)
	if err := g.narrow(sub); err != nil {
		return false, failure(err)
	}
	if own := x.ownType(); t.Type == "Patient" && len(sub.plans[0].Calls) == 0 && own != t.Type {
		// Another patient is known without asking. That it costs nothing would be
		// seen: what is not there is asked for (sameWork).
		_, err := g.proveOne(x, fhir.Reference{Type: own, ID: t.ID})
		return false, err
	}
	for _, err := range g.check(sub, g.fetch(sub)) {
		if err != nil {
			return false, failure(err)
		}
		x.trace.Proof("target", t.Type, true, "fetched")
		return true, nil // check has noted it as proven
	}
	x.proven[key] = false
	x.trace.Proof("target", t.Type, false, "missing")
	return false, nil
}

// proveReach says whether something of the patient's own, which the token may
// read, points to the resource: from what was seen lately, else by searching.
func (g *Gateway) proveReach(x *exchange, typ, id string) (bool, error) {
	key := "reach " + typ + "/" + id
	if known, ok := x.proven[key]; ok { // each version of a history asks
		return known, nil
	}
	ok, err := g.findReach(x, typ, id)
	if err == nil && x.depth < maxProofDepth {
		x.proves(key, ok)
	}
	return ok, err
}

// proves notes what is found out, for this request alone, while there is room.
func (x *exchange) proves(key string, is bool) {
	if len(x.proven) < maxProven {
		x.proven[key] = is
	}
}

func (g *Gateway) findReach(x *exchange, typ, id string) (bool, error) {
	// What was seen tells of the type only: of one that is covered in part, the
	// very resource that points here must be found again.
	if x.saw(typ+"/"+id, x.readsAll) {
		x.trace.Proof("reach", typ, true, "remembered")
		return true, nil
	}
	if x.depth >= maxProofDepth {
		x.trace.Proof("reach", typ, false, "depth")
		return false, nil
	}
	for _, p := range compartment.Of(typ).Pointers {
		ask := guard.Ask{Interaction: guard.Search, Type: p.Type, Query: search.Query{Type: p.Type, Count: -1}}
		if p.Param != "" {
			d, known := search.Lookup(p.Type, p.Param)
			if !known {
				continue
			}
			ask.Query.Params = []search.Param{{Definition: d, Values: []string{typ + "/" + id}}}
		}
		ok, err := g.searchPointer(x, ask, func(r *fhir.Resource) bool { return x.who.ProofOf(r, typ, id) })
		if err != nil || ok {
			if ok {
				x.trace.Proof("reach", typ, true, "found")
			}
			return ok, err
		}
	}
	x.trace.Proof("reach", typ, false, "missing")
	return false, nil
}

// searchPointer looks for a resource that proves something.
func (g *Gateway) searchPointer(x *exchange, ask guard.Ask, proves func(*fhir.Resource) bool) (bool, error) {
	if why := x.mayProve(ask); why != "" {
		x.trace.Proof("pointer", ask.Type, false, why)
		return false, nil
	}
	*x.proofs++
	sub := x.sub(ask)
	if err := g.narrow(sub); err != nil {
		return false, failure(err)
	}
	for one, err := range g.check(sub, g.fetch(sub)) {
		if err != nil {
			return false, failure(err)
		}
		if proves(one.resource) {
			x.trace.Proof("pointer", ask.Type, true, "found")
			return true, nil
		}
	}
	return false, nil
}

// sameWork lets a request that gives nothing cost the upstream what it costs to
// find that nothing may be given: otherwise the time an answer takes would tell a
// foreign resource, whose reach had to be looked for, from a missing one.
func (g *Gateway) sameWork(x *exchange) error {
	if x.depth > 0 || x.unread || !x.namesOne() {
		return nil
	}
	if x.ask.Interaction == guard.History && !x.passed {
		if err := g.lookForVersion(x); err != nil {
			return err
		}
	}
	if len(x.proven) > 0 || *x.proofs > 0 {
		return nil
	}
	return g.workAs(x, x.ask.Type, cmp.Or(x.ask.ID, "none"))
}

// workAs asks the upstream what is asked of it for a resource that belongs to
// nobody by itself.
func (g *Gateway) workAs(x *exchange, typ, id string) error {
	var err error
	switch compartment.Of(typ).Class {
	case compartment.Reached:
		_, err = g.proveReach(x, typ, id)
	case compartment.Through:
		_, err = g.proveOne(x, fhir.Reference{Type: x.ownType(), ID: id})
	default: // is fetched as a narrowed search, or by one read
	}
	return err
}

// proveSame is proveOne for what an app names: a missing one costs what a foreign
// one does.
func (g *Gateway) proveSame(x *exchange, t fhir.Reference) (bool, error) {
	before := *x.proofs
	ok, err := g.proveOne(x, t)
	if err == nil && !ok && *x.proofs <= before+1 {
		err = g.workAs(x, t.Type, t.ID)
	}
	return ok, err
}

// anchored says whether a search that is anchored to a target can give anything:
// what points to something that the token may not read does not leave, and how
// much does must not show in how many pages are gone through.
func (g *Gateway) anchored(x *exchange, ask guard.Ask) (bool, error) {
	rule := compartment.Of(ask.Type)
	if x.depth > 0 || x.several || x.resume != nil || ask.Interaction != guard.Search || rule.Class != compartment.Through {
		return true, nil
	}
	for _, p := range ask.Query.Params {
		if d := p.Definition; d.Name == "_id" || p.Modifier != "" || !slices.Contains(rule.Anchors, d.Name) {
			continue
		}
		readable := false
		for _, v := range p.Values {
			to := x.who.Base.Resolve(v)
			if to.Where != fhir.Local && len(p.Definition.Targets) == 1 {
				to = fhir.Reference{Where: fhir.Local, Type: p.Definition.Targets[0], ID: v}
			}
			ok, err := g.proveSame(x, to)
			if err != nil {
				return false, err
			}
			readable = readable || ok
		}
		if !readable {
			return false, nil
		}
	}
	return true, nil
}

// namesOne says whether a request names something that may be somebody else's,
// and so asks whether it is there: by its id, or by what a search of types that
// the patient does not find is anchored to.
func (x *exchange) namesOne() bool {
	switch {
	case x.several || x.resume != nil:
		return false
	case x.ask.Interaction == guard.Search:
		return slices.ContainsFunc(x.ask.Query.Params, func(p search.Param) bool {
			return slices.Contains(compartment.Of(x.ask.Type).Anchors, p.Definition.Name)
		})
	}
	return true
}

// ownType gives a type that the token may read and that is read as most are.
func (x *exchange) ownType() string {
	for _, typ := range compartment.Types() {
		if compartment.Of(typ).Class == compartment.Own && x.who.Authorise(guard.Ask{Interaction: guard.Read, Type: typ}) == nil {
			return typ
		}
	}
	return "Patient"
}

// mayProve says what keeps a proof from being fetched, "" when nothing does.
func (x *exchange) mayProve(ask guard.Ask) string {
	switch {
	case x.depth >= maxProofDepth:
		return "depth"
	case *x.proofs >= maxProofs:
		return "budget"
	case x.who.Authorise(ask) != nil:
		return "scope"
	}
	return ""
}

// failure passes on an error of a proof unless it says that the upstream cannot
// be asked so. That proves nothing, as a resource which is not there does: were
// it an error, it would tell that there was something to prove.
func failure(err error) error {
	switch kind := fault.KindOf(err); kind {
	case fault.NotFound, fault.Invalid, fault.MethodNotAllowed, fault.Unsupported:
		return nil
	default:
		return err
	}
}
