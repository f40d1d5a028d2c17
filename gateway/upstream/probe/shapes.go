package probe

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
)

// shapes tries forms of values and what shapes an answer, each on the first
// types that have something to try it with.
func (r *run) shapes() error {
	if r.found.Search.How == profiles.ByList {
		return nil
	}
	s := &r.found.Search
	for _, one := range []struct {
		what string
		try  func(typ string) (tried, good bool, err error)
		bad  func()
	}{
		{"_id beside other parameters", r.tryID, func() { s.PlainID = true }},
		{"lists of values", r.tryList, func() { s.OneValue = true }},
		{"modifiers", r.tryModifier, func() { s.Modifiers = profiles.Drop }},
		{"dates that are no whole days", r.tryDates, func() { s.Dates = profiles.DayOnly }},
		{"_sort", r.control("_sort=_lastUpdated"), func() { s.Never = append(s.Never, "_sort") }},
		{"_count", r.control("_count=10"), func() { s.Never = append(s.Never, "_count") }},
	} {
		if err := r.shape(one.what, one.try, one.bad); err != nil {
			return err
		}
	}
	if err := r.pages(); err != nil {
		return err
	}
	return r.includes()
}

// shape tries on up to five types; one that is bad decides.
func (r *run) shape(what string, try func(string) (bool, bool, error), bad func()) error {
	tries := 0
	for _, typ := range typesToTry() {
		if len(r.records[typ]) == 0 || r.types[typ].How == profiles.ByList || tries == 5 {
			continue
		}
		tried, good, err := try(typ)
		if err != nil {
			return err
		}
		if tried {
			tries++
		}
		if tried && !good {
			bad()
			r.note(what, Synthesised, "not taken, or not understood")
			return nil
		}
	}
	if tries == 0 {
		r.note(what, Untried, "nothing to try it with")
		return nil
	}
	r.note(what, Works, "")
	return nil
}

func (r *run) tryID(typ string) (tried, good bool, err error) {
	one := r.records[typ][0]
	good, err = r.finds(typ, []search.Param{param(typ, "_id", one.ID()), r.mine(typ)}, one)
	return true, good, err
}

// usable gives a token parameter that the EHR takes, with its value in a resource.
func (r *run) usable(typ string, kind search.Kind) (search.Definition, *fhir.Resource, string, bool) {
	for _, name := range namesOf(typ) {
		d, known := search.Lookup(typ, name)
		if !known || d.Kind != kind || name == "_id" || name == "_lastUpdated" || slices.Contains(r.types[typ].Never, name) ||
			r.found.Search.Unstated == profiles.Drop && !r.known.Types[typ].Params[name] || len(r.types[typ].OneOf) > 0 && !slices.Contains(r.types[typ].OneOf, name) {
			continue
		}
		for _, one := range r.records[typ] {
			if v := value(d, one); v != "" {
				return d, one, v, true
			}
		}
	}
	return search.Definition{}, nil, "", false
}

func (r *run) tryList(typ string) (tried, good bool, err error) {
	d, one, v, ok := r.usable(typ, search.Token)
	if !ok {
		return false, false, nil
	}
	good, err = r.finds(typ, []search.Param{r.mine(typ), {Definition: d, Values: []string{"none", v}}}, one)
	return true, good, err
}

func (r *run) tryModifier(typ string) (tried, good bool, err error) {
	d, one, v, ok := r.usable(typ, search.Token)
	if !ok {
		return false, false, nil
	}
	params := []search.Param{r.mine(typ), {Definition: d, Modifier: "not", Values: []string{"none"}}}
	if len(r.types[typ].OneOf) > 0 {
		params = append(params, search.Param{Definition: d, Values: []string{v}})
	}
	good, err = r.finds(typ, params, one)
	return true, good, err
}

func (r *run) tryDates(typ string) (tried, good bool, err error) {
	if len(r.types[typ].OneOf) > 0 {
		return false, false, nil
	}
	d, one, _, ok := r.usable(typ, search.Date)
	if !ok {
		return false, false, nil
	}
	for _, v := range []string{"ge1900", "lt2900-01-01T10:00:00Z"} {
		good, err = r.finds(typ, []search.Param{r.mine(typ), {Definition: d, Values: []string{v}}}, one)
		if err != nil || !good {
			return true, false, err
		}
	}
	return true, true, nil
}

// control tries a parameter that shapes the answer: it must not be refused.
func (r *run) control(query string) func(string) (bool, bool, error) {
	return func(typ string) (bool, bool, error) {
		base, _, ok := r.around(typ, "")
		if !ok {
			return false, false, nil
		}
		_, err := r.first(typ, encode(typ, base...)+"&"+query)
		return true, err == nil, broken(err)
	}
}

// pages finds the largest page, and what links to the next one look like.
func (r *run) pages() error {
	if slices.Contains(r.found.Search.Never, "_count") {
		return nil
	}
	for _, typ := range typesToTry() {
		base, _, ok := r.around(typ, "")
		if !ok || r.types[typ].How == profiles.ByList {
			continue
		}
		for _, n := range []int{1000, 500, 200, 100, 50, 20, 10} {
			_, err := r.first(typ, encode(typ, base...)+"&_count="+strconv.Itoa(n))
			if err == nil {
				if n < 1000 {
					r.found.Search.MaxCount = n
					r.note("large pages", Synthesised, "at most %d at once", n)
				}
				return nil
			}
			if err := broken(err); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// links looks at the link to a second page: without it nothing is found whole.
func (r *run) links() error {
	if r.found.Search.How == profiles.ByList {
		return nil
	}
	for _, typ := range typesToTry() {
		query := encode(typ, r.mine(typ))
		p, err := r.first(typ, query+"&_count=1")
		if err != nil {
			p, err = r.first(typ, query)
		}
		if err := broken(err); err != nil {
			return err
		}
		if !p.plain && len(p.matches) > 0 && !slices.Contains(r.found.Search.Never, "_include") {
			r.never("_include", "_revinclude")
			r.note("search.mode", Synthesised, "entries do not say what they are")
		}
		if err == nil && p.next != "" {
			r.link(typ, p.next)
			return r.circle(p)
		}
		if err == nil && p.total > len(p.matches) && len(p.matches) > 0 {
			return r.unlinked(typ, query, p.matches[0].ID())
		}
	}
	r.note("links to further pages", Untried, "nothing has a second page")
	return nil
}

// unlinked finds how a second page is asked for where the first has no link to it.
func (r *run) unlinked(typ, query, first string) error {
	const offset = "_offset" // Medplum's; nobody else is known to give no links
	p, err := r.first(typ, query+"&_count=1&"+offset+"=1")
	switch {
	case broken(err) != nil:
		return err
	case err == nil && len(p.matches) == 1 && p.matches[0].ID() != first:
		r.found.Next.Offset = offset
		r.note("links to further pages", Synthesised, "there are none: asked for with %s", offset)
	default:
		r.note("links to further pages", Missing, "there are none, though there is more than a page")
	}
	return nil
}

// circle looks whether the second page leads on: where links lead back, no search
// is whole, and there is nothing more to find out.
func (r *run) circle(first page) error {
	up, err := r.reader(&profiles.Profile{Next: r.found.Next})
	if err != nil {
		return err
	}
	answer, err := up.Next(r.ctx, first.next)
	if err != nil {
		return broken(err)
	}
	second, err := read(answer, "")
	if err == nil && second.next == first.next {
		return errors.New("the EHR's link to the second page of a search leads to that page again: no search is whole")
	}
	return broken(err)
}

func (r *run) link(typ, next string) {
	u, err := url.Parse(next)
	switch {
	case err != nil:
		r.note("links to further pages", Missing, "they are no URLs")
	case !u.IsAbs():
		r.found.Next.Relative = true
		r.note("links to further pages", Synthesised, "they are relative")
	default:
		at, _, _ := strings.Cut(next, "?")
		if _, below := r.o.Base.Relative(next); below || at == r.o.Base.String() {
			r.note("links to further pages", Works, "")
			return
		}
		alias := strings.TrimSuffix(strings.TrimSuffix(at, "/"), "/"+typ)
		if _, err := fhir.ParseBase(alias); err != nil {
			r.note("links to further pages", Missing, "they lead elsewhere")
			return
		}
		r.found.Next.Aliases = []string{alias}
		r.note("links to further pages", Synthesised, "they begin with another URL: use the profile only if that is this EHR")
	}
}

func (r *run) never(names ...string) {
	for _, name := range names {
		if !slices.Contains(r.found.Search.Never, name) {
			r.found.Search.Never = append(r.found.Search.Never, name)
		}
	}
}

// includes holds what the EHR includes against what following references gives.
func (r *run) includes() error {
	for _, typ := range typesToTry() {
		base, _, ok := r.around(typ, "")
		if !ok || r.types[typ].How == profiles.ByList {
			continue
		}
		for _, one := range []struct {
			control string
			pairs   []string
		}{{"_revinclude", uscore.RevIncludes(typ)}, {"_include", uscore.Includes(typ)}} {
			for _, pair := range one.pairs {
				if slices.Contains(r.found.Search.Never, one.control) {
					continue
				}
				if err := r.include(typ, base, one.control, pair); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *run) include(typ string, base []search.Param, control, pair string) error {
	query := encode(typ, base...) + "&" + control + "=" + url.QueryEscape(pair)
	up, err := r.reader(&profiles.Profile{Next: r.found.Next})
	if err != nil {
		return err
	}
	got, err := r.all(up, typ, query)
	if err := broken(err); err != nil {
		return err
	}
	if err == nil && len(got.includes) > 0 {
		return nil
	}
	p := r.found
	p.Search.Never, p.Types = append(slices.Clone(p.Search.Never), "_include", "_revinclude"), r.types
	if up, err = r.reader(&p); err != nil {
		return err
	}
	ours, err2 := r.all(up, typ, encode(typ, base...)+"&"+control+"="+url.QueryEscape(pair))
	if err := broken(err2); err != nil {
		return err
	}
	if err != nil || len(ours.includes) > 0 {
		r.never(control)
		r.note(control, Synthesised, "refused or ignored: Portico follows the references")
	}
	return nil
}
