package quirks

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/reqctx"
)

const (
	maxHeld    = 2000 // includes of one page that wait for the matches they belong to
	fewMatches = 50   // on a page that one call of several often fills
)

// pager writes one page.
type pager struct {
	r     *Reader
	ctx   context.Context
	p     *plan
	yield func([]byte, error) bool

	entries int
	matches int
	turns   int
	stopped bool // nobody reads on
	next    *position
	links   links
	held    []fhir.Entry
	seen    map[string]bool
	given   given
	lease   lease
	costly  error // why no more can be held
}

// page gives a page of a search piece by piece, of being where it begins and
// before what pages before it gave.
func (r *Reader) page(ctx context.Context, p *plan, of state, before given) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		g := &pager{
			r: r, ctx: ctx, p: p, yield: yield, seen: map[string]bool{}, links: newLinks(r.base, p),
			given: before, lease: lease{room: r.room, party: reqctx.Party(ctx)},
		}
		defer g.lease.end()
		fill := g.fill
		if len(p.sort) > 0 {
			fill = g.inOrder
		}
		err := cmp.Or(fill(of.position), g.costly)
		if err == nil && !g.stopped {
			err = g.companions()
		}
		if err == nil && !g.stopped {
			err = g.end(of)
		}
		if err != nil && !g.stopped {
			yield(nil, err)
		}
	}
}

// fill gives matches in the order in which they come.
func (g *pager) fill(from position) error {
	s := &scan{r: g.r, ctx: g.ctx, p: g.p, seen: g.seen, given: g.given, few: g.p.limit < fewMatches}
	s.take = func(f found) bool {
		if !f.match {
			return g.include(f.Entry)
		}
		if g.matches >= g.p.limit {
			g.next = &f.at // where the next page begins: it has something to begin with
			return false
		}
		g.given.note(g.p, f)
		return g.match(f.Entry)
	}
	s.turn = func(at position) bool {
		g.turns++
		full := g.matches >= g.p.limit && g.p.filter == nil && at.URL != ""
		if full || g.turns >= maxFetches {
			g.next = &at
			return false
		}
		return true
	}
	return s.run(from)
}

// inOrder goes through all matches first and keeps those that this page is of.
func (g *pager) inOrder(from position) error {
	first := ranking{typ: g.p.typ, by: g.p.sort, keep: from.Skip + g.p.limit, lease: &g.lease}
	s := &scan{r: g.r, ctx: g.ctx, p: g.p, seen: g.seen, turn: func(position) bool { g.turns++; return g.turns < maxFetches }}
	s.take = func(f found) bool {
		switch {
		case !f.match:
			return g.include(f.Entry)
		case f.Resource == nil:
			return true
		}
		g.costly = first.add(f.Entry)
		return g.costly == nil
	}
	if err := cmp.Or(s.run(position{}), g.costly); err != nil {
		return broken(err)
	}
	all := first.entries()
	all = all[min(from.Skip, len(all)):]
	if first.seen > first.keep {
		g.next = &position{Skip: first.keep}
	}
	for _, e := range all {
		if !g.match(e) {
			return nil
		}
	}
	return nil
}

func (g *pager) match(e fhir.Entry) bool {
	g.matches++
	if e.Resource != nil {
		g.links.add(e.Resource, true)
	}
	mode := "match"
	if g.p.native && e.Mode == "" {
		mode = "" // includes of the same type look alike; whoever judges tells them apart
	}
	return g.write(e.Resource, mode)
}

// include gives what the upstream included. Where some matches are left out here,
// it waits until those that stay are known.
func (g *pager) include(e fhir.Entry) bool {
	if g.p.filter == nil {
		return g.write(e.Resource, "include")
	}
	if e.Resource == nil || len(g.held) == maxHeld {
		return true
	}
	if g.costly = g.lease.take(len(e.Resource.Bytes())); g.costly != nil {
		return false
	}
	g.held = append(g.held, e)
	return true
}

// companions gives what belongs to the matches of the page.
func (g *pager) companions() error {
	for _, e := range g.held {
		if g.links.joined(e.Resource) && !g.write(e.Resource, "include") {
			return nil
		}
	}
	return g.links.follow(g.ctx, g.r, g.p, func(r *fhir.Resource) bool {
		name := r.Type() + "/" + r.ID()
		if g.seen[name] {
			return true
		}
		g.seen[name] = true
		return g.write(r, "include")
	})
}

func (g *pager) write(r *fhir.Resource, mode string) bool {
	var out []byte
	if g.entries++; g.entries == 1 {
		out = append(out, `{"resourceType":"Bundle","type":"searchset","entry":[{`...)
	} else {
		out = append(out, `,{`...)
	}
	if r != nil {
		out = append(out, `"resource":`...)
		out = append(out, r.Bytes()...)
	}
	if mode != "" {
		if r != nil {
			out = append(out, ',')
		}
		out = append(out, `"search":{"mode":"`+mode+`"}`...)
	}
	g.stopped = !g.yield(append(out, '}'), nil)
	return !g.stopped
}

// end closes the Bundle with the link to the next page.
func (g *pager) end(of state) error {
	var out []byte
	if g.entries == 0 {
		out = append(out, `{"resourceType":"Bundle","type":"searchset"`...)
	} else {
		out = append(out, ']')
	}
	if g.next != nil {
		of.position, of.Given, of.Full = *g.next, g.given.text(), g.given.full
		link, err := of.link()
		if err != nil {
			return err
		}
		quoted, err := json.Marshal(link)
		if err != nil {
			return err
		}
		out = append(out, `,"link":[{"relation":"next","url":`...)
		out = append(append(out, quoted...), `}]`...)
	}
	g.yield(append(out, '}'), nil)
	return nil
}
