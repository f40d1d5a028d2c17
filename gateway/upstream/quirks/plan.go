package quirks

import (
	"context"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxCalls  = 100 // of one search
	maxSplit  = 50  // values that are asked for one by one
	pageSize  = 200 // matches on a page when nobody said how many
	aboutPage = 100 // how many are asked for at least where some will not fit
)

// plan is what is asked of the upstream in place of one search.
type plan struct {
	typ   string
	calls []call
	// filter is the whole search, evaluated here; nil when what the upstream was
	// asked is what was meant.
	filter   *search.Filter
	follow   []search.Include // _include that is synthesised
	backward []search.Include // _revinclude that is synthesised
	native   bool             // the upstream was asked for includes
	sort     []search.SortKey // the order that is made here
	limit    int              // matches on a page
}

// call is one request: a read, a list, or a search.
type call struct {
	id    string
	list  bool
	query string
	// part is what this call of several asks beside the others' conditions; what
	// an earlier call finds too is dropped from it.
	part *search.Filter
}

// planner makes one plan.
type planner struct {
	r      *Reader
	t      profiles.Type
	asked  search.Query
	up     search.Query // what is sent
	stated *upstream.TypeCapability
	superset
}

// superset notes that the upstream finds more than was meant.
type superset bool

func (r *Reader) plan(ctx context.Context, q search.Query) (*plan, error) {
	m := &planner{r: r, t: r.profile.Of(q.Type), asked: q, up: search.Query{Type: q.Type, Count: -1}}
	p := &plan{typ: q.Type, limit: pageSize}
	if q.Count > 0 {
		p.limit = q.Count
	}
	if r.profile.Search.Unstated == profiles.Drop {
		if known, err := r.up.Capabilities(ctx); err == nil && len(known.Types[q.Type].Params) > 0 {
			stated := known.Types[q.Type]
			m.stated = &stated
		}
	}
	byID := m.reads()
	switch {
	case byID != nil:
		p.calls, m.superset = byID, true
	case m.t.How == profiles.ByNone:
		return nil, fault.New(fault.MethodNotAllowed, "%s can be read but not searched here.", q.Type)
	case m.t.How == profiles.ByList:
		p.calls, m.superset = []call{{list: true}}, true
	}
	queries := p.calls == nil
	m.includes(p, queries)
	if queries {
		if err := m.query(p); err != nil {
			return nil, err
		}
	}
	if len(q.Sort) > 0 && (!queries || len(p.calls) > 1 || len(m.up.Sort) == 0) {
		p.sort = q.Sort
	}
	if m.superset {
		var err error
		if p.filter, err = r.compile(q); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (r *Reader) compile(q search.Query) (*search.Filter, error) {
	filter, err := (search.Matcher{Base: r.base, Now: r.now}).Compile(q)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "The record system does not understand this search.")
	}
	return filter, nil
}

// reads gives the calls of a search by _id that has to be done by reading, nil
// when it has not.
func (m *planner) reads() []call {
	i := slices.IndexFunc(m.asked.Params, func(p search.Param) bool { return p.Definition.Name == "_id" && p.Modifier == "" })
	if i < 0 {
		return nil
	}
	s, values := m.r.profile.Search, m.asked.Params[i].Values
	direct := m.t.How != profiles.ByQuery || !m.sends("_id") ||
		s.PlainID && len(m.asked.Params) > 1 || s.OneValue && len(values) > 1
	if !direct || len(values) > maxSplit {
		return nil
	}
	calls := []call{}
	for _, v := range values {
		if fhir.ValidID(v) && !slices.ContainsFunc(calls, func(c call) bool { return c.id == v }) {
			calls = append(calls, call{id: v})
		}
	}
	return calls
}

// sends says whether a parameter is sent at all.
func (m *planner) sends(name string) bool {
	switch {
	case slices.Contains(m.t.Never, name):
		return false
	case slices.Contains([]string{"_id", "_count", "_sort"}, name):
		return true // what every server has is seldom listed
	case len(m.t.Only) > 0:
		return slices.Contains(m.t.Only, name)
	}
	return m.stated == nil || m.stated.Params[name]
}

// includes decides who follows references.
func (m *planner) includes(p *plan, queries bool) {
	ask := func(list []search.Include, control string, stated func(*upstream.TypeCapability) map[string]bool) bool {
		if !queries || slices.Contains(m.t.Never, control) {
			return false
		}
		return m.stated == nil || !slices.ContainsFunc(list, func(in search.Include) bool {
			has := stated(m.stated)
			return !has[in.Source+":"+in.Param] && !has[in.String()] && !has["*"]
		})
	}
	if ask(m.asked.Include, "_include", func(c *upstream.TypeCapability) map[string]bool { return c.Includes }) {
		m.up.Include = m.asked.Include
	} else {
		p.follow = m.asked.Include
	}
	if ask(m.asked.RevInclude, "_revinclude", func(c *upstream.TypeCapability) map[string]bool { return c.RevIncludes }) {
		m.up.RevInclude = m.asked.RevInclude
	} else {
		p.backward = m.asked.RevInclude
	}
	p.native = len(m.up.Include)+len(m.up.RevInclude) > 0
}

// query makes the calls of a search that is asked of the upstream.
func (m *planner) query(p *plan) error {
	var split *search.Param
	for _, param := range m.asked.Params {
		if listed := m.param(param, split == nil); listed != nil {
			split = listed
		}
	}
	if len(m.asked.Params) > 0 && len(m.up.Params) == 0 && split == nil {
		return fault.New(fault.Unsupported, "The record system cannot be searched in this way.")
	}
	if split == nil {
		var err error
		if split, err = m.fanOut(); err != nil {
			return err
		}
	} else if m.needsOne() && !slices.Contains(m.t.OneOf, split.Definition.Name) {
		// Two splits would multiply: the values that the app listed are looked
		// for here.
		m.superset = true
		var err error
		if split, err = m.fanOut(); err != nil {
			return err
		}
		if len(m.up.Params) == 0 {
			return fault.New(fault.Unsupported, "The record system cannot be searched in this way.")
		}
	}
	m.always()
	m.shape(p)
	return m.calls(p, split)
}

// param adds a filter as the upstream takes it. It gives back one whose values
// must be asked for one by one, which may be so for one filter alone.
func (m *planner) param(p search.Param, maySplit bool) *search.Param {
	s := m.r.profile.Search
	if to, renamed := m.t.Rename[p.Definition.Name]; renamed {
		d, _ := search.Lookup(m.asked.Type, to)
		p.Definition, m.superset = d, true
	}
	if !m.sends(p.Definition.Name) || p.Modifier != "" && s.Modifiers == profiles.Drop {
		m.superset = true
		return nil
	}
	p = m.patientForm(p)
	if p.Definition.Kind == search.Date && s.Dates == profiles.DayOnly && p.Modifier == "" {
		days, same, ok := wholeDays(p)
		m.superset = m.superset || superset(!same)
		if ok {
			m.up.Params = append(m.up.Params, days...)
		}
		return nil
	}
	if s.OneValue && len(p.Values) > 1 {
		if maySplit && p.Modifier == "" && len(p.Values) <= maxSplit {
			return &p
		}
		m.superset = true
		return nil
	}
	m.up.Params = append(m.up.Params, p)
	return nil
}

// patientForm writes references to patients in the form that the upstream takes.
func (m *planner) patientForm(p search.Param) search.Param {
	form := m.r.profile.Search.Patients
	if form == "" || p.Modifier != "" || !slices.Contains(p.Definition.Targets, "Patient") {
		return p
	}
	values := slices.Clone(p.Values)
	for i, v := range values {
		id, prefixed := strings.CutPrefix(v, "Patient/")
		switch {
		case form == profiles.AsID && prefixed && (p.Definition.Name == "patient" || len(p.Definition.Targets) == 1):
			values[i] = id
		case form == profiles.AsReference && !strings.Contains(v, "/") && len(p.Definition.Targets) == 1:
			values[i] = "Patient/" + v
		}
	}
	p.Values = values
	return p
}

// needsOne says whether the upstream wants a parameter that is not there.
func (m *planner) needsOne() bool {
	return len(m.t.OneOf) > 0 && !slices.ContainsFunc(m.up.Params, func(p search.Param) bool {
		return p.Definition.Name == "_id" || p.Modifier == "" && slices.Contains(m.t.OneOf, p.Definition.Name)
	})
}

// fanOut gives the filter whose values are asked for one by one, nil for none.
func (m *planner) fanOut() (*search.Param, error) {
	f := m.t.FanOut
	has := slices.ContainsFunc(m.up.Params, func(p search.Param) bool {
		return p.Definition.Name == f.Param || p.Definition.Name == "_id"
	})
	switch {
	case len(m.t.OneOf) > 0 && !m.needsOne(), len(m.t.OneOf) == 0 && (f.Param == "" || has):
		return nil, nil
	case f.Param == "":
		return nil, fault.New(fault.Unsupported, "The record system needs one of these parameters for %s: %v.", m.asked.Type, m.t.OneOf)
	}
	d, _ := search.Lookup(m.asked.Type, f.Param)
	return &search.Param{Definition: d, Values: f.Values}, nil
}

func (m *planner) always() {
	for name, v := range m.t.Always {
		d, _ := search.Lookup(m.asked.Type, name)
		has := func(p search.Param) bool { return p.Definition.Name == name }
		if !slices.ContainsFunc(m.up.Params, has) {
			m.up.Params = append(m.up.Params, search.Param{Definition: d, Values: strings.Split(v, ",")})
		}
	}
}

// shape sets the size of pages and the order.
func (m *planner) shape(p *plan) {
	if m.sends("_sort") {
		m.up.Sort = m.asked.Sort
	}
	if !m.sends("_count") {
		return
	}
	m.up.Count = p.limit
	if m.superset {
		m.up.Count = max(p.limit, aboutPage)
	}
	if most := m.r.profile.Search.MaxCount; most > 0 {
		m.up.Count = min(m.up.Count, most)
	}
}

func (m *planner) calls(p *plan, split *search.Param) error {
	if split == nil {
		p.calls = []call{{query: m.r.profile.Search.With(m.up.Encode())}}
		return nil
	}
	for _, v := range split.Values {
		one := *split
		one.Values = []string{v}
		part, err := m.r.compile(search.Query{Type: m.asked.Type, Params: []search.Param{one}})
		if err != nil {
			return err
		}
		q := m.up
		q.Params = append(slices.Clone(m.up.Params), one)
		p.calls = append(p.calls, call{query: m.r.profile.Search.With(q.Encode()), part: part})
	}
	return nil
}
