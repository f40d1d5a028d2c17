package gateway

import (
	"errors"
	"io"
	"iter"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxResource = 32 << 20 // bytes of one resource or Bundle entry
	maxPages    = 200      // pages of one search that are read for one answer, or to find a proof
	unusable    = "The record system gave an unusable answer."
)

// item is one resource, or one entry of a Bundle, as it came back.
type item struct {
	fhir.Entry
	plan *guard.Plan
	call int // which of the plan's calls found it
	at   pending

	from     *explain.Call // for a trace: the answer it stands in, nil without one
	position int           // in there, from 1
}

// items is read as it is pulled: nothing is fetched before somebody wants it,
// and stopping closes what is open. An error ends it.
type items = iter.Seq2[item, error]

// narrow is step 4: the guard plans what is asked instead.
func (g *Gateway) narrow(x *exchange) error {
	x.at("narrow")
	x.holdCache()
	x.up = x.trace.Watch(x.up, x.depth > 0)
	known, err := x.up.Capabilities(x.ctx)
	if err != nil {
		known = nil // narrow with the parameters R4 defines; the check decides anyway
	}
	for _, ask := range x.asks {
		if x.several && !offers(known, ask.Type) {
			continue
		}
		plan, err := x.plan(ask, known)
		if err != nil {
			return err
		}
		if ask.Interaction == guard.VRead || ask.Interaction == guard.History {
			none := !x.versioned(known, ask)
			if !none && x.depth == 0 {
				if none, err = g.notNow(x); err != nil {
					return err
				}
			}
			if none {
				plan.Calls = nil
			}
		}
		if may, err := g.anchored(x, ask); err != nil {
			return err
		} else if !may {
			plan.Calls = nil
		}
		x.plans = append(x.plans, &plan)
	}
	if x.depth == 0 {
		x.trace.Narrowed(x.ask, x.plans)
	}
	return nil
}

func (x *exchange) plan(ask guard.Ask, known *upstream.Capabilities) (guard.Plan, error) {
	supports := supports(known, ask)
	if x.several {
		var err error
		if ask, err = x.askable(ask, known, supports); err != nil {
			return guard.Plan{}, err
		}
	}
	return x.who.Narrow(ask, supports)
}

// supports asks the upstream's CapabilityStatement. One that says nothing of a
// type is taken to know the standard parameters; _id of a read is used only
// when it is listed.
func supports(known *upstream.Capabilities, ask guard.Ask) guard.Supports {
	return func(typ, param string) bool {
		if known == nil || len(known.Types[typ].Params) == 0 {
			return ask.Interaction == guard.Search || param != "_id"
		}
		return known.Types[typ].Params[param]
	}
}

// fetch is step 5: the plans' calls in order, or where a link goes on with them.
func (g *Gateway) fetch(x *exchange) items {
	x.at("fetch")
	return func(yield func(item, error) bool) {
		if x.several {
			g.inTurn(x, yield)
			return
		}
		if x.resume != nil {
			g.run(x, x.plans[0], x.resume, yield)
			return
		}
		for _, plan := range x.plans {
			todo := make([]pending, len(plan.Calls))
			for i := range todo {
				todo[i].Call = i
			}
			if !g.run(x, plan, todo, yield) {
				return
			}
		}
	}
}

// run makes calls of a plan until the page is full; what is left goes into the
// link to the next page (R4 search, section 3.1.1.5.3: no more than _count).
func (g *Gateway) run(x *exchange, plan *guard.Plan, todo []pending, yield func(item, error) bool) bool {
	for n, p := range todo {
		room := plan.Ask.Query.Count - x.counts.matches
		if n > 0 && plan.Ask.Query.Count > 0 && !x.follows() && room <= 0 {
			x.next = append(x.next, todo[n:]...)
			return true
		}
		if !g.call(x, p, room, item{plan: plan, call: p.Call}, yield) {
			return false
		}
	}
	return true
}

// call makes one call of a plan, or goes on with it. found is what each resource
// is marked with.
func (g *Gateway) call(x *exchange, p pending, room int, found item, yield func(item, error) bool) bool {
	if p.Call >= len(found.plan.Calls) { // the EHR has changed what it can do since the last page
		return yield(item{}, fault.New(fault.NotFound, "This page is not (or no longer) there: repeat the search."))
	}
	call := found.plan.Calls[p.Call]
	var answer *upstream.Answer
	var err error
	switch {
	case p.URL != "":
		answer, err = x.up.Next(x.ctx, p.URL)
	case call.ID != "" && found.plan.Ask.Interaction == guard.History:
		if answer, err = x.version(found.plan.Ask); x.isNone(err) {
			return true
		}
	case call.ID != "":
		return g.direct(x, call.ID, found, yield)
	case p.Call > 0 && room > 0 && !x.follows():
		answer, err = x.up.Search(x.ctx, found.plan.Ask.Type, call.Limited(room))
	default:
		answer, err = x.up.Search(x.ctx, found.plan.Ask.Type, call.Query)
		if found.plan.Ask.Interaction == guard.Read && fault.KindOf(err) == fault.Unsupported && x.isNone(err) {
			return true // it may be refused for this one's sake
		}
	}
	return g.bundle(x, answer, err, found, yield)
}

// direct reads one resource by its id; a missing one yields nothing, and so does
// one that the upstream does not give us, or not as FHIR JSON: that would tell
// that it is there.
func (g *Gateway) direct(x *exchange, id string, found item, yield func(item, error) bool) bool {
	var answer *upstream.Answer
	var err error
	if found.plan.Ask.Interaction == guard.VRead {
		answer, err = x.version(found.plan.Ask)
	} else {
		answer, err = x.up.Read(x.ctx, found.plan.Ask.Type, id)
	}
	switch {
	case errors.Is(err, upstream.ErrUnreadable) && found.plan.Ask.Type == "Binary" && found.plan.Ask.Interaction == guard.Read && x.depth == 0:
		return g.unreadBinary(x, id, found, yield)
	case x.isNone(err):
		return true
	case err != nil:
		return yield(item{}, err)
	}
	found.from, found.position = explain.CallOf(answer), 1
	raw, err := readWhole(answer.Body)
	switch {
	case errors.Is(err, errLarge): // whose it is nobody can tell, and that it is there would tell
		if x.depth == 0 {
			x.log.Fail(err)
		}
		return true
	case err != nil:
		return yield(item{}, err)
	}
	found.Resource, found.Err = fhir.ParseResource(raw)
	switch {
	case errors.Is(found.Err, io.ErrUnexpectedEOF): // as when the connection ends
		return yield(item{}, fault.Wrap(found.Err, fault.Upstream, unusable))
	case found.Err != nil && x.depth == 0:
		x.log.Fail(found.Err)
	}
	return yield(found, nil)
}

// isNone says whether an error means that there is nothing, as far as an app is
// told.
func (x *exchange) isNone(err error) bool {
	switch kind := fault.KindOf(err); {
	case err == nil:
		return false
	case kind == fault.NotFound:
		return true
	case kind == fault.Unsupported || errors.Is(err, upstream.ErrUnreadable), kind == fault.Invalid && x.ask.Interaction != guard.Read:
		if x.depth == 0 {
			x.log.Fail(err) // for the operator, whose credential may reach too little
		}
		return true
	}
	return false
}

var errLarge = errors.New("gateway: the upstream's answer is over the limit")

func readWhole(body io.ReadCloser) ([]byte, error) {
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, maxResource+1))
	if err != nil {
		return nil, fault.Wrap(errors.New("gateway: the upstream's answer broke off"), fault.Upstream, unusable)
	}
	if len(raw) > maxResource {
		return nil, fault.Wrap(errLarge, fault.Upstream, unusable)
	}
	return raw, nil
}

// bundle yields the entries of a page and notes where the next one is, or goes
// on to it when the exchange follows pages itself.
func (g *Gateway) bundle(x *exchange, answer *upstream.Answer, err error, found item, yield func(item, error) bool) bool {
	for page := 1; ; page++ {
		if err != nil {
			return yield(item{}, err)
		}
		released := x.counts.released
		next, more := entries(answer, found, yield)
		if more && next != "" && found.plan.Partial && !x.follows() {
			if next, err = g.worthwhile(x, next, found); err != nil {
				return yield(item{}, err)
			}
			if next != "" && x.counts.released == released && x.ahead < maxPages { // an empty page is none
				x.ahead++
				answer, err = x.up.Next(x.ctx, next)
				continue
			}
		}
		switch {
		case !more:
			return false
		case next == "":
			return true
		case !x.follows():
			x.next = append(x.next, pending{Call: found.call, URL: next})
			return true
		case x.depth > 0 && (page == maxPages || *x.proofs >= maxProofs):
			return true // what was not found on so many pages is not proven
		case x.depth > 0:
			*x.proofs++
		case page == maxPages:
			return yield(item{}, fault.New(fault.Unsupported, "There are too many results for one answer; narrow the search."))
		}
		answer, err = x.up.Next(x.ctx, next)
	}
}

// entries yields one page. more is false when nothing further is wanted.
func entries(answer *upstream.Answer, found item, yield func(item, error) bool) (next string, more bool) {
	defer func() { _ = answer.Body.Close() }()
	reader := fhir.NewBundleReader(answer.Body, maxResource)
	found.from, found.position = explain.CallOf(answer), 0
	for {
		entry, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return reader.NextLink(), true
		}
		if err != nil {
			return "", yield(item{}, fault.Wrap(err, fault.Upstream, unusable))
		}
		found.Entry, found.position = entry, found.position+1
		if !yield(found, nil) {
			return "", false
		}
	}
}
