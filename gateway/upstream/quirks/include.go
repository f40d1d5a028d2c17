package quirks

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxLinks    = 10_000 // references that one page notes
	maxIncluded = 5000   // resources that one page pulls in
	maxFurther  = 500    // further pages that are read for them: a link may lead round in a circle
	maxRounds   = 3      // of :iterate
	chunk       = 20     // ids or targets asked for in one search
	chunkOfList = 500    // and where the search is done here
)

// links are the references of a page's resources, as far as somebody asked for
// them to be followed.
type links struct {
	base     fhir.Base
	typ      string
	follows  []search.Include
	backward []search.Include
	joining  bool // the upstream's own includes must be told apart

	to      map[string][]string // type -> ids that are wanted
	noted   map[string]bool     // Type/id that is wanted or was
	given   []string            // Type/id of the matches, for reverse includes
	pointed map[string]bool     // all that the matches point to, when joining
	matched map[string]bool
}

func newLinks(base fhir.Base, p *plan) links {
	return links{
		base: base, typ: p.typ, follows: p.follow, backward: p.backward, joining: p.native && p.filter != nil,
		to: map[string][]string{}, noted: map[string]bool{}, pointed: map[string]bool{}, matched: map[string]bool{},
	}
}

// add notes where a resource leads.
func (l *links) add(r *fhir.Resource, match bool) {
	name := r.Type() + "/" + r.ID()
	if match && l.joining && len(l.matched) < maxLinks {
		l.matched[name] = true
		for _, to := range refs(l.base, r) {
			l.pointed[to] = true
		}
	}
	if match && len(l.backward) > 0 && r.ID() != "" && len(l.given) < maxLinks {
		l.given = append(l.given, name)
	}
	for _, in := range l.follows {
		if in.Source == r.Type() && (match || in.Iterate) {
			l.want(r, in)
		}
	}
}

func (l *links) want(r *fhir.Resource, in search.Include) {
	d, known := search.Lookup(in.Source, in.Param)
	if !known {
		return
	}
	for v := range d.Values(r) {
		if v.IsObject() {
			v = v.Get("reference")
		}
		to := l.base.Resolve(v.Text())
		name := to.Type + "/" + to.ID
		if to.Where != fhir.Local || len(d.Targets) > 0 && !slices.Contains(d.Targets, to.Type) || in.Target != "" && in.Target != to.Type || l.noted[name] || len(l.noted) >= maxLinks {
			continue
		}
		l.noted[name] = true
		l.to[to.Type] = append(l.to[to.Type], to.ID)
	}
}

// joined says whether a resource and a match of the page point to each other.
func (l *links) joined(r *fhir.Resource) bool {
	if r == nil {
		return false
	}
	return l.pointed[r.Type()+"/"+r.ID()] || slices.ContainsFunc(refs(l.base, r), func(to string) bool { return l.matched[to] })
}

func refs(base fhir.Base, r *fhir.Resource) []string {
	var out []string
	base.EachReference(r.Root(), func(to fhir.Reference) { out = append(out, to.Type+"/"+to.ID) })
	return out
}

// follow fetches what the page's resources lead to, and what leads to them.
func (l *links) follow(ctx context.Context, r *Reader, p *plan, give func(*fhir.Resource) bool) error {
	left, further := maxIncluded, maxFurther
	turn := func(position) bool { further--; return further >= 0 }
	get := func(typ, param string, values []string) (bool, error) {
		size := chunk
		if r.profile.Of(typ).How == "list" && param != "_id" {
			size = chunkOfList
		}
		more := true
		err := r.each(ctx, typ, param, slices.Chunk(values, size), turn, func(res *fhir.Resource) bool {
			l.add(res, false)
			left--
			more = give(res) && left > 0
			return more
		})
		return more, err
	}
	for _, in := range p.backward {
		values := slices.DeleteFunc(slices.Clone(l.given), func(name string) bool {
			return in.Target != "" && in.Target != l.typ
		})
		if more, err := get(in.Source, in.Param, values); err != nil || !more {
			return err
		}
	}
	for range maxRounds {
		wanted := l.to
		l.to = map[string][]string{}
		for _, typ := range slices.Sorted(maps.Keys(wanted)) {
			if more, err := get(typ, "_id", wanted[typ]); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// each gives the resources of a type that one parameter finds, asked for some
// values at a time. What the upstream cannot be asked for, or does not have, is
// none.
func (r *Reader) each(ctx context.Context, typ, param string, parts iter.Seq[[]string], turn func(position) bool, give func(*fhir.Resource) bool) error {
	d, known := search.Lookup(typ, param)
	if !known {
		return nil
	}
	var scans []*scan
	for values := range parts {
		q := search.Query{Type: typ, Count: -1, Params: []search.Param{{Definition: d, Values: values}}}
		p, err := r.plan(ctx, q)
		if err == nil && p.filter == nil {
			// What a server gives that ignores the parameter belongs to nobody's match.
			p.filter, err = r.compile(q)
		}
		if err = none(err); err != nil {
			return err
		}
		if p != nil {
			scans = append(scans, &scan{
				r: r, ctx: ctx, p: p, seen: map[string]bool{}, turn: turn,
				take: func(f found) bool { return f.Resource == nil || give(f.Resource) },
			})
		}
	}
	return walk(ctx, r, scans, none)
}

// none gives nil for an error that means that there is nothing.
func none(err error) error {
	switch kind := fault.KindOf(err); {
	case err == nil, kind == fault.NotFound, kind == fault.Invalid, kind == fault.Unsupported, kind == fault.MethodNotAllowed:
		return nil
	}
	return err
}
