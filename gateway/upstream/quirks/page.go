package quirks

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxHeld       = 2000     // includes of one page that wait for the matches they belong to
	maxSorted     = 5000     // matches that are put in order
	maxSortedSize = 64 << 20 // bytes of them
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
}

// page gives a page of a search piece by piece. of is the search, for the link
// to the page after it.
func (r *Reader) page(ctx context.Context, p *plan, from position, of state) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		g := &pager{r: r, ctx: ctx, p: p, yield: yield, seen: map[string]bool{}, links: newLinks(r.base, p)}
		fill := g.fill
		if len(p.sort) > 0 {
			fill = g.inOrder
		}
		err := fill(from)
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
	s := &scan{r: g.r, ctx: g.ctx, p: g.p, seen: g.seen}
	s.take = func(f found) bool {
		if !f.match {
			return g.include(f.Entry)
		}
		if g.matches >= g.p.limit {
			g.next = &f.at // where the next page begins: it has something to begin with
			return false
		}
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

// inOrder gathers all matches first.
func (g *pager) inOrder(from position) error {
	var all []fhir.Entry
	size := 0
	var tooMany error
	s := &scan{r: g.r, ctx: g.ctx, p: g.p, seen: g.seen, turn: func(position) bool { g.turns++; return g.turns < maxFetches }}
	s.take = func(f found) bool {
		switch {
		case !f.match:
			return g.include(f.Entry)
		case f.Resource == nil:
			return true
		}
		size += len(f.Resource.Bytes())
		if len(all) == maxSorted || size > maxSortedSize {
			tooMany = fault.New(fault.Unsupported, "There are too many results to be put in order; narrow the search, or leave out _sort.")
			return false
		}
		all = append(all, f.Entry)
		return true
	}
	if err := errors.Join(s.run(position{}), tooMany); err != nil {
		return broken(err)
	}
	order(all, g.p.typ, g.p.sort)
	all = all[min(from.Skip, len(all)):]
	if len(all) > g.p.limit {
		all = all[:g.p.limit]
		g.next = &position{Skip: from.Skip + g.p.limit}
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
	if len(g.held) < maxHeld {
		g.held = append(g.held, e)
	}
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
		of.position = *g.next
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

// order sorts by search parameters (R4 search, section 3.1.1.5.1). What has no
// value comes last.
func order(all []fhir.Entry, typ string, by []search.SortKey) {
	type row struct {
		entry fhir.Entry
		keys  []sortKey
	}
	rows := make([]row, len(all))
	for i, e := range all {
		rows[i] = row{e, keysOf(e.Resource, typ, by)}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		for i, k := range by {
			if c := a.keys[i].compare(b.keys[i], k.Descending); c != 0 {
				return c
			}
		}
		return 0
	})
	for i, r := range rows {
		all[i] = r.entry
	}
}
