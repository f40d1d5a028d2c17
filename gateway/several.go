package gateway

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// Some answers join searches of several types: $everything and Patient/[id]/*.
// Each search goes the way of every search; here they are put in one order, so
// that a page can end anywhere and the next one can go on there.

// smallestAsk is the smallest page that the upstream is asked for: what scopes or
// dates leave out lies between the results, and is gone through page by page.
const smallestAsk = 20

// inTurn is step 5 for several types: every call of every plan, or what a paging
// link leaves of them.
func (g *Gateway) inTurn(x *exchange, yield func(item, error) bool) {
	turns, ok := x.turns()
	if !ok {
		yield(item{}, fault.New(fault.NotFound, "This page is not (or no longer) there: repeat the search."))
		return
	}
	questions := make([]question, len(turns))
	for i, t := range turns {
		questions[i] = x.questionOf(t)
	}
	for i, first := range x.inOrder(questions) {
		t := turns[i]
		switch kind := fault.KindOf(first.Err); {
		case first.Err != nil && kind == fault.NotFound && t.from.URL == "":
			continue // the upstream has no such type
		case first.Err != nil && (kind == fault.Invalid || kind == fault.Unsupported || kind == fault.MethodNotAllowed) && t.from.URL == "":
			x.log.Fail(first.Err)
			x.unasked = append(x.unasked, t.plan.Ask.Type)
			continue
		}
		if !g.through(x, t, first, yield) {
			return
		}
	}
}

// turn is one call of one plan, and where in its results to begin.
type turn struct {
	plan *guard.Plan
	from pending
}

// turns gives what is to be asked, in order. It fails when a link leads to a
// call that is no more: scopes, or what the upstream can do, have changed.
func (x *exchange) turns() ([]turn, bool) {
	var out []turn
	for _, plan := range x.plans {
		for i := range plan.Calls {
			out = append(out, turn{plan, pending{Type: plan.Ask.Type, Call: i}})
		}
	}
	if x.resume == nil {
		return out, true
	}
	from := x.resume[0]
	at := slices.IndexFunc(out, func(t turn) bool { return t.from.Type == from.Type && t.from.Call == from.Call })
	if at < 0 {
		return nil, false
	}
	out[at].from = from
	return out[at:], true
}

func (x *exchange) questionOf(t turn) question {
	return func(ctx context.Context) (*upstream.Answer, error) {
		if t.from.URL != "" {
			return x.up.Next(ctx, t.from.URL)
		}
		size := x.src.PageSize
		if x.page > 0 {
			size = min(max(x.page, smallestAsk), size)
		}
		return x.up.Search(ctx, t.plan.Ask.Type, t.plan.Calls[t.from.Call].Limited(size))
	}
}

// through gives all results of a turn, page by page.
func (g *Gateway) through(x *exchange, t turn, first reply, yield func(item, error) bool) bool {
	answer, err := first.Value, first.Err
	at := t.from
	skip := at.Skip
	for page := 1; ; page++ {
		if err != nil {
			return yield(item{}, err)
		}
		at.Skip = 0
		next, more := entries(answer, item{plan: t.plan, call: at.Call}, func(one item, failed error) bool {
			if failed != nil {
				return yield(one, failed)
			}
			one.at = at
			at.Skip++
			return at.Skip <= skip || yield(one, nil)
		})
		switch {
		case !more:
			return false
		case next == "":
			return true
		case page == maxPages:
			return yield(item{}, fault.New(fault.Unsupported, "There is too much to look through for one answer; ask for pages with _count, or for fewer types with _type."))
		}
		at.URL, skip = next, 0
		answer, err = x.up.Next(x.ctx, next)
	}
}

// paged ends a page after so many matches. The link to the next one leads to the
// first thing that leaves on it, and is there only if there is one: what is
// withheld makes no page.
func (g *Gateway) paged(x *exchange, in iter.Seq2[kept, error]) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		matches := 0
		given := map[string]bool{} // what came along, which may come again
		for one, err := range in {
			if err != nil {
				yield(kept{}, err)
				return
			}
			if one.match && x.page > 0 && !x.counting() && matches == x.page {
				x.next = []pending{one.at}
				break
			}
			name := one.resource.Type() + "/" + one.resource.ID()
			if given[name] {
				continue
			}
			if one.match {
				matches++
			} else if len(given) < maxProven {
				given[name] = true
			}
			x.refers.note(one.resource)
			if !yield(one, nil) {
				return
			}
		}
		for one, err := range g.referred(x) {
			if !yield(one, err) || err != nil {
				return
			}
		}
	}
}

// exhausted says whether the page must end before anything more is judged, since
// proving things has cost the upstream enough. The next page may prove again.
func (x *exchange) exhausted() bool {
	return x.several && x.page > 0 && !x.counting() && *x.proofs >= maxProofs
}

// ownedTypes are those of which the patient's own can be found by a search,
// Patient first.
func ownedTypes() []string {
	out := []string{"Patient"}
	for _, typ := range compartment.Types() {
		rule := compartment.Of(typ)
		if typ != "Patient" && rule.Class != compartment.Directory && len(rule.Narrow) > 0 {
			out = append(out, typ)
		}
	}
	return out
}

// listedTypes reads _type.
func listedTypes(list string) ([]string, error) {
	types := strings.Split(list, ",")
	if slices.ContainsFunc(types, func(typ string) bool { return !search.IsResourceType(typ) }) {
		return nil, fault.New(fault.Invalid, "_type must list resource types of R4.")
	}
	return types, nil
}

// offers says whether the upstream has a type at all; one that states nothing
// may have every type.
func offers(known *upstream.Capabilities, typ string) bool {
	return known == nil || len(known.Types) == 0 || known.Types[typ].Interactions["search-type"]
}

// askable takes out of a search what the upstream does not say that it knows,
// since one may refuse a search for a single type's sake. It is looked for in
// what comes back instead.
func (x *exchange) askable(ask guard.Ask, known *upstream.Capabilities, supports guard.Supports) (guard.Ask, error) {
	if known == nil || !known.Types[ask.Type].RevIncludes["Provenance:target"] {
		ask.Query.RevInclude = nil
	}
	knows := func(p search.Param) bool { return supports(ask.Type, p.Definition.Name) }
	if !slices.ContainsFunc(ask.Query.Params, func(p search.Param) bool { return !knows(p) }) {
		return ask, nil
	}
	rest := ask.Query
	rest.Params = slices.DeleteFunc(slices.Clone(rest.Params), knows)
	filter, err := (search.Matcher{Base: x.who.Base, Now: x.who.Now}).Compile(rest)
	if err != nil {
		return ask, searchFault(err)
	}
	x.filters[ask.Type] = filter
	ask.Query.Params = slices.DeleteFunc(slices.Clone(ask.Query.Params), func(p search.Param) bool { return !knows(p) })
	return ask, nil
}
