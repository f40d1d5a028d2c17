package gateway

import (
	"time"

	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/smart/scope"
)

// reachAlone is how long what was seen is believed where no answers are kept: what a
// cache without a ttl of its own would keep them for.
const reachAlone = time.Minute

// sees remembers an edge for as long as all that this request was given is fresh:
// one rule for what is kept of answers and for what is concluded from them. What
// was given stale, or cannot be kept now, leads nowhere later.
func (x *exchange) sees(to, from string) {
	until := x.who.Now().Add(x.src.alone)
	if x.cached != nil {
		until = x.cached.FreshUntil()
	}
	x.src.reach.Add(x.era(), to, from, until)
}

// learns remembers what the upstream has just shown of a resource.
func (x *exchange) learns(what, typ string) {
	lasts := x.src.alone
	if x.cached != nil {
		lasts = x.cached.FreshFor(typ)
	}
	x.src.reach.Add(x.era(), what, typ, x.who.Now().Add(lasts))
}

// saw says whether a type that the token covers whole was seen to point to a
// resource. What an answer rests on bounds how long it is kept: it ends with the
// edge.
func (x *exchange) saw(to string, covers func(from string) bool) bool {
	for _, e := range x.src.reach.From(x.era(), to) {
		if !covers(e.From) {
			continue
		}
		if x.cached != nil {
			x.cached.RestsOn(e.Until)
		}
		return true
	}
	return false
}

// readsAll says whether the token may read all of a type.
func (x *exchange) readsAll(typ string) bool { return x.who.Covers(typ, scope.Read) == guard.Whole }

func anyType(string) bool { return true }
