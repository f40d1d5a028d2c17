package gateway

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

const (
	maxReferred    = 1_000 // resources that are added to one answer
	maxReferredAsk = 100   // questions to the upstream for that
	referredAtOnce = 50    // ids in one question
	referredRounds = 2     // a role leads to a practitioner, and there it ends
)

// referrals are the directory resources that what leaves points to: who treated
// the patient, and where. A nil one notes nothing.
type referrals struct {
	x     *exchange
	types []string            // no others, when there are any
	due   map[string]bool     // Type/id of what was noted -> is still to come
	next  map[string][]string // type -> ids that are still to be fetched
	asked int
}

func newReferrals(x *exchange, types []string) *referrals {
	return &referrals{x: x, types: types, due: map[string]bool{}, next: map[string][]string{}}
}

// note remembers what a resource that leaves points to.
func (f *referrals) note(r *fhir.Resource) {
	if f == nil {
		return
	}
	f.x.who.Base.EachReference(r.Root(), func(to fhir.Reference) {
		if len(f.due) >= maxReferred || !f.covers(to.Type) {
			return
		}
		name := to.Type + "/" + to.ID
		if _, noted := f.due[name]; !noted {
			f.due[name] = true
			f.next[to.Type] = append(f.next[to.Type], to.ID)
		}
	})
}

// covers says whether resources of a type are added: they describe the health
// system, the token covers them, and they were asked for.
func (f *referrals) covers(typ string) bool {
	return compartment.Of(typ).Class == compartment.Directory && (f.types == nil || slices.Contains(f.types, typ)) &&
		(f.x.who.Covers(typ, scope.Read) != guard.Nothing || f.x.who.Covers(typ, scope.Search) != guard.Nothing)
}

// referred gives what was noted, as far as it may leave.
func (g *Gateway) referred(x *exchange) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		if x.refers == nil || x.counting() {
			return
		}
		for range referredRounds {
			questions, ask := x.refers.questions()
			for i, first := range x.inOrder(questions) {
				for one, err := range g.added(x, ask[i], first) {
					if !yield(one, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// questions asks for everything noted since the last time, by a search for
// several ids where the upstream has that, one by one otherwise.
func (f *referrals) questions() (out []question, asks []guard.Ask) {
	known, err := f.x.up.Capabilities(f.x.ctx)
	if err != nil {
		known = nil
	}
	for _, typ := range slices.Sorted(maps.Keys(f.next)) {
		ids := f.next[typ]
		delete(f.next, typ)
		byID, _ := search.Lookup(typ, "_id")
		many := known != nil && known.Types[typ].Params["_id"] && f.x.who.Covers(typ, scope.Search) == guard.Whole
		for len(ids) > 0 && f.asked < maxReferredAsk {
			n := 1
			ask := guard.Ask{Interaction: guard.Read, Type: typ, ID: ids[0]}
			if many {
				n = min(len(ids), referredAtOnce)
				ask = guard.Ask{Interaction: guard.Search, Type: typ, Query: search.Query{Type: typ, Count: n, Params: []search.Param{{Definition: byID, Values: ids[:n]}}}}
			}
			ids = ids[n:]
			f.asked++
			asks = append(asks, ask)
			out = append(out, f.x.referral(ask))
		}
	}
	return out, asks
}

func (x *exchange) referral(ask guard.Ask) question {
	return func(ctx context.Context) (*upstream.Answer, error) {
		plan, err := x.who.Narrow(ask, func(string, string) bool { return true })
		switch {
		case err != nil || len(plan.Calls) != 1:
			return nil, fault.New(fault.NotFound, "Not found.")
		case ask.Interaction == guard.Read:
			return x.up.Read(ctx, ask.Type, plan.Calls[0].ID)
		}
		return x.up.Search(ctx, ask.Type, plan.Calls[0].Query)
	}
}

// added judges what came of one question. What is not there, or may not leave, is
// left out without a word.
func (g *Gateway) added(x *exchange, ask guard.Ask, first reply) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		if first.Err != nil {
			if err := failure(first.Err); err != nil && !x.isNone(first.Err) {
				yield(kept{}, err)
			}
			return
		}
		plan, err := x.who.Narrow(ask, func(string, string) bool { return true })
		if err != nil {
			_ = first.Value.Body.Close()
			return
		}
		for one, err := range g.itemsOf(x, turn{plan: &plan}, first) {
			if err != nil {
				yield(kept{}, err)
				return
			}
			if one.Resource == nil || one.Err != nil || one.Mode == "outcome" || !x.refers.due[one.Resource.Type()+"/"+one.Resource.ID()] {
				x.withhold(one, "not-asked")
				continue
			}
			said, err := g.judge(x, one)
			if err != nil {
				yield(kept{}, err)
				return
			}
			if !said.passed {
				x.withhold(one, said.reason)
				continue
			}
			x.refers.due[one.Resource.Type()+"/"+one.Resource.ID()] = false
			x.refers.note(one.Resource)
			if !yield(kept{resource: one.Resource, mask: said.mask}, nil) {
				return
			}
		}
	}
}

// itemsOf gives what an answer holds: the results of a search, or one resource.
func (g *Gateway) itemsOf(x *exchange, t turn, first reply) items {
	return func(yield func(item, error) bool) {
		if t.plan.Ask.Interaction == guard.Search {
			g.through(x, t, first, yield)
			return
		}
		raw, err := readWhole(first.Value.Body)
		if err != nil {
			yield(item{}, err)
			return
		}
		one := item{plan: t.plan}
		one.Resource, one.Err = fhir.ParseResource(raw)
		yield(one, nil)
	}
}

// asInt reads a number of our own parameters.
func asInt(value string, least, most int) (int, bool) {
	n, err := strconv.Atoi(value)
	return min(n, most), err == nil && n >= least && value[0] != '+'
}
