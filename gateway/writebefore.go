package gateway

import (
	"errors"
	"iter"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/inbound"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// errSeveral is in the fault of a conditional create that fits several resources
// (R4 http, section 3.1.0.8.1).
var errSeveral = errors.New("gateway: several resources fit the condition")

// before is step 4 for a change: what is there now is fetched and judged like
// any read, past every cache. What this token may not read looks like what is
// not there, and costs the same.
func (g *Gateway) before(x *exchange, c *write) error {
	if x.ask.Interaction == guard.Create {
		return g.findExisting(x, c)
	}
	one, view, err := g.readNow(x, x.ask.Type, x.ask.ID)
	if err != nil {
		return err
	}
	c.before, c.view = one, view.bytes
	if err := x.who.Changes(one.resource, one.mask, x.ask.Interaction); err != nil {
		return err
	}
	if err := x.writer().Check(one.resource, one.resource); err != nil {
		return fault.New(fault.Unprocessable, "Somebody else wrote this resource, so it cannot be changed here.")
	}
	switch version := one.resource.VersionID(); {
	case version == "":
		return fault.New(fault.MethodNotAllowed, "The record system keeps no version of this resource, so it cannot be changed safely.")
	case version != c.ifMatch:
		return fault.New(fault.Precondition, "The resource has another version than If-Match says: read it again.")
	}
	return nil
}

// readNow reads one resource as it is in the record now: as it is there, and as
// the app sees it.
func (g *Gateway) readNow(x *exchange, typ, id string) (*kept, *piece, error) {
	sub := x.sub(guard.Ask{Interaction: guard.Read, Type: typ, ID: id})
	sub.up = x.src.Upstream
	if err := g.narrow(sub); err != nil {
		return nil, nil, err
	}
	return g.single(sub, g.fetch(sub))
}

// single checks and rewrites what should be one resource; none that may be seen
// is a fault of kind NotFound.
func (g *Gateway) single(sub *exchange, found items) (*kept, *piece, error) {
	for one, err := range g.check(sub, found) {
		if err != nil {
			return nil, nil, err
		}
		for view, err := range g.rewrite(sub, only(one)) {
			return &one, &view, err
		}
	}
	return nil, nil, fault.New(fault.NotFound, "Not found.")
}

func only(one kept) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) { yield(one, nil) }
}

// findExisting evaluates If-None-Exist (R4 http, section 3.1.0.8.1) as a search
// of this token's, in the patient's record. The header is never passed on.
func (g *Gateway) findExisting(x *exchange, c *write) error {
	if c.ifNoneExist == "" {
		return nil
	}
	pairs, err := search.ParsePairs(c.ifNoneExist)
	if err != nil {
		return searchFault(err)
	}
	q, err := search.Parse(x.ask.Type, pairs, search.Options{Strict: true, MaxCount: x.src.PageSize, Base: x.src.public})
	if err != nil {
		return searchFault(err)
	}
	if len(q.Params) == 0 || len(q.Params) != len(pairs) {
		return fault.New(fault.Invalid, "If-None-Exist must hold search parameters that find a resource, and nothing else.")
	}
	ask := guard.Ask{Interaction: guard.Search, Type: x.ask.Type, Query: q}
	if err := x.who.Authorise(ask); err != nil {
		return err
	}
	sub := x.sub(ask)
	sub.up = x.src.Upstream
	if err := g.narrow(sub); err != nil {
		return err
	}
	for one, err := range g.check(sub, g.fetch(sub)) {
		switch {
		case err != nil:
			return err
		case !one.match:
		case c.found != nil:
			return fault.Wrap(errSeveral, fault.Precondition, "Several resources fit If-None-Exist.")
		default:
			c.found = &one
		}
	}
	return nil
}

// writer is who makes the change: the person whom the grant names, or the
// patient when it names nobody.
func (x *exchange) writer() inbound.Writer {
	w := inbound.Writer{Base: x.src.Base, Patient: x.who.Patient, Person: x.src.Base.Resolve(x.grant.FHIRUser)}
	if w.Person.Where != fhir.Local {
		w.Person = fhir.Reference{Where: fhir.Local, Type: "Patient", ID: x.who.Patient}
	}
	return w
}
