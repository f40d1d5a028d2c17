package gateway

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/subset"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/httpfile"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/token"
)

// exchange is what the steps of one request know so far.
type exchange struct {
	ctx context.Context
	src *source
	up  upstream.Reader // the source's upstream as this request sees it
	// cached is what the cache holds of the patient, nil without a cache; holding
	// is the same for a read.
	cached, holding *cache.View
	question        []string // under which the answer is kept; nil: it is not

	grant  token.Grant
	access token.Access
	who    guard.Who
	ask    guard.Ask
	// asks are what the request comes down to: one, or for $everything one a type.
	asks  []guard.Ask
	plans []*guard.Plan
	// resume holds where a paging link goes on; nil on the first page.
	resume   []pending
	linkEnds time.Time // when that link is no longer good
	// next collects where the upstream's further pages are.
	next []pending

	// several says that the answer joins searches of several types.
	several bool
	// whole says that all pages are read for one answer.
	whole bool
	// place is what links of the answer lead to, below the base, and query what
	// is asked there when it is no search of one type.
	place, query string
	// filters and also are what is asked of each match beside what its plan
	// filters by: parameters that the upstream does not know, by type, and what
	// no parameter says. nil asks nothing.
	filters map[string]*search.Filter
	also    func(*fhir.Resource) bool
	since   time.Time // _since of a history
	// pick chooses and orders what leaves of all that was kept; nil leaves it.
	pick   func(iter.Seq2[kept, error]) iter.Seq2[kept, error]
	page   int        // most matches in one answer of several types; 0 is no limit
	refers *referrals // what is added of the directory; nil: nothing
	// unasked are types that the upstream does not let be searched so.
	unasked []string

	conditions httpfile.Conditions
	view       subset.View
	pretty     bool
	ignored    []string // parameters dropped under handling=lenient
	total      int      // of all pages, -1 while nobody has counted
	passed     bool     // a version of the resource asked for may be read
	repeated   bool     // answered from what was kept as it left
	looked     bool     // whether one is there was looked for
	now        []byte   // the resource as it is today, empty when there is none; nil while nobody has looked

	file   *fileAsk // a file is asked for as it is
	told   bool     // something was withheld by its label, and that may be said
	unread bool     // the upstream has the resource, and not as FHIR JSON
	narrow bool     // something was withheld for the scopes of this token alone

	event  audit.Event
	log    *reqctx.Event
	trace  *explain.Trace // nil: nobody asked for one
	counts counts
	proven map[string]bool // Type/id -> may be read with this token
	proofs *int            // fetches made to prove something, proofs of proofs included
	ahead  int             // pages read on to find one that holds something to release
	depth  int             // 0 for the request itself, more for proofs
}

// follows says whether further pages are fetched at once instead of by a link:
// to count, to prove, and for what has one answer.
func (x *exchange) follows() bool {
	return x.depth > 0 || x.whole || x.several || x.plans[0].CountOnly
}

// single says whether one resource was asked for, not a Bundle.
func (x *exchange) single() bool {
	return x.ask.Interaction == guard.Read || x.ask.Interaction == guard.VRead
}

// counting says whether only a number was asked for.
func (x *exchange) counting() bool { return len(x.plans) > 0 && x.plans[0].CountOnly }

// counts is what happened to what came back.
type counts struct{ released, matches, masked, withheld int }

// pending is a page of one of the plan's calls that is still to be fetched; a
// call without URL has not begun.
type pending struct {
	Type string `json:"t,omitempty"` // of which plan, when there are several
	Call int    `json:"c"`
	URL  string `json:"u"`
	Skip int    `json:"s,omitempty"` // entries of the page that were given already
}

func (g *Gateway) begin(r *http.Request, src *source) *exchange {
	log := reqctx.From(r.Context())
	log.SetSource(src.ID)
	return &exchange{
		ctx: r.Context(), src: src, up: src.Upstream, log: log, filters: map[string]*search.Filter{}, proven: map[string]bool{}, proofs: new(int), total: -1,
		trace: explain.Begin(r.Context(), src.ID),
		event: audit.Event{RequestID: log.ID(), Source: src.ID, Interaction: "unknown"},
	}
}

// tell adds to the request's log event what became of it.
func (x *exchange) tell() {
	x.tellCache()
	if x.event.Type != "" {
		x.log.SetType(x.event.Type)
	}
	x.trace.Ends(explain.End{
		Interaction: x.event.Interaction, Type: x.event.Type, Status: x.event.Status,
		Released: x.counts.released, Masked: x.counts.masked, Withheld: x.counts.withheld,
		Page: x.resume != nil, NextPage: len(x.next) > 0,
	})
	if x.trace.Discards() {
		return
	}
	x.log.Count(x.counts.released, x.counts.masked, x.counts.withheld)
}

// at notes for a trace how far the request has come.
func (x *exchange) at(step string) {
	if x.depth == 0 {
		x.trace.Step(step)
	}
}

// ends notes for a trace why the request ends, and gives that on.
func (x *exchange) ends(err error) error {
	x.trace.Fails(x.event.Type, err, statusOf(err))
	return err
}

// sub is an exchange of its own for a proof: same token, same source, nothing
// of it is released.
func (x *exchange) sub(ask guard.Ask) *exchange {
	sub := &exchange{
		ctx: x.ctx, src: x.src, up: x.up, cached: x.cached, grant: x.grant, who: x.who, ask: ask, asks: []guard.Ask{ask},
		log: x.log, trace: x.trace, proven: x.proven, proofs: x.proofs, depth: x.depth + 1, total: -1,
	}
	if x.cached != nil {
		sub.up = x.cached
	}
	return sub
}
