package ehr

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"golang.org/x/sync/errgroup"
)

// compartment narrows a search to the compartment of one patient.
type compartment struct{ id string }

// search answers GET [type]?… and GET Patient/[id]/[type]?….
func (s *Server) search(c *call, typ int, within *compartment) (answer, error) {
	pairs, err := search.ParsePairs(c.query)
	if err != nil {
		return answer{}, refuse(http.StatusBadRequest, "invalid", "%s", err)
	}
	for _, p := range pairs {
		if p.Name == pageParam {
			return s.nextPage(c, p.Value)
		}
	}
	limits := s.restriction()
	if err := limits.refuseSearch(resourceTypes[typ].name, pairs); err != nil {
		if limits.Soft {
			return answer{status: http.StatusOK, bundle: &bundle{kind: "searchset", total: -1, typ: typ, entries: []bundleEntry{{resource: failed(err).resource, mode: "outcome"}}}}, nil
		}
		return answer{}, err
	}
	q, err := s.parse(c, typ, written(limits.without(pairs)), false)
	if err != nil {
		return answer{}, err
	}
	if limits.MaxPage > 0 && (q.Count < 0 || q.Count > limits.MaxPage) {
		q.Count = limits.MaxPage
	}
	rows, err := s.matches(c, typ, q, within)
	if err != nil {
		return answer{}, err
	}
	order(rows, q.Sort)
	snap := &snapshot{kind: "searchset", path: strings.Join(c.path, "/"), query: q, total: len(rows), asked: asked(typ, q, within), typ: typ}
	snap.rows = make([]rowRef, len(rows))
	for i, row := range rows {
		snap.rows[i] = rowRef{record: row.record}
	}
	return s.firstPage(c, snap)
}

// postSearch answers POST …/_search: the parameters of the form are added to
// those of the address (R4 http, section 3.1.0.9).
func (s *Server) postSearch(c *call, typ int, within *compartment) (answer, error) {
	if c.method != http.MethodPost || s.restriction().NoPostSearch {
		return answer{}, notAllowed("POST")
	}
	if len(c.body) > 0 {
		media, _, err := mime.ParseMediaType(c.header.Get("Content-Type"))
		if err != nil || media != "application/x-www-form-urlencoded" {
			return answer{}, refuse(http.StatusUnsupportedMediaType, "not-supported", "a search must be posted as application/x-www-form-urlencoded")
		}
	}
	both := *c
	both.path = c.path[:len(c.path)-1]
	both.query = strings.Trim(c.query+"&"+strings.TrimSpace(string(c.body)), "&")
	return s.search(&both, typ, within)
}

// parse reads a search. Prefer: handling=strict or lenient overrides what is
// configured for unknown parameters (R4 search, section 3.1.1.7).
func (s *Server) parse(c *call, typ int, raw string, strict bool) (search.Query, error) {
	pairs, err := search.ParsePairs(raw)
	if err != nil {
		return search.Query{}, refuse(http.StatusBadRequest, "invalid", "%s", err)
	}
	pairs = slices.DeleteFunc(pairs, func(p search.Pair) bool { return p.Name == "_format" || p.Name == "_pretty" })
	strict = strict || s.strict(c)
	o := search.Options{Strict: strict, Trusted: true, Base: c.at}
	q, err := search.Parse(resourceTypes[typ].name, pairs, o)
	for unknown := new(search.Error); !strict && errors.As(err, &unknown) && unknown.Unknown && unknown.Param != ""; {
		// The parser never ignores names with an underscore or in the wrong
		// case. Many an EHR does, and a silent one is what is wanted here.
		pairs = slices.DeleteFunc(pairs, func(p search.Pair) bool { return p.Name == unknown.Param })
		q, err = search.Parse(resourceTypes[typ].name, pairs, o)
	}
	if err != nil {
		return search.Query{}, refuse(http.StatusBadRequest, "invalid", "%s", err)
	}
	q.Params = slices.DeleteFunc(q.Params, func(p search.Param) bool {
		return c.modes.has(IgnorePatient) && namesPatients(p) || c.modes.has(IgnoreID) && p.Definition.Name == "_id"
	})
	return q, nil
}

func (s *Server) strict(c *call) bool {
	switch prefer(c.header, "handling") {
	case "strict":
		return true
	case "lenient":
		return false
	}
	return s.o.Strict
}

// onlyKnown refuses parameters that an interaction does not have, when strict.
func (s *Server) onlyKnown(c *call, names ...string) error {
	pairs, err := search.ParsePairs(c.query)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid", "%s", err)
	}
	for _, p := range pairs {
		if p.Name != "_format" && p.Name != "_pretty" && !slices.Contains(names, p.Name) && s.strict(c) {
			return refuse(http.StatusBadRequest, "not-supported", "a parameter is not known here")
		}
	}
	return nil
}

// row is one match with what it is sorted by.
type row struct {
	record uint32
	keys   []sortKey
}

// matches gives all resources that a search finds, in order of arrival.
func (s *Server) matches(c *call, typ int, q search.Query, within *compartment) ([]row, error) {
	if within != nil && c.modes.has(IgnorePatient) {
		within = nil
	}
	test, err := s.newTester(c, typ, q, within)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "not-supported", "%s", err)
	}
	candidates := s.candidates(c.at, typ, q, within)
	const perWorker = 512
	if len(candidates) <= perWorker {
		return test.all(c.ctx, candidates)
	}
	group, ctx := errgroup.WithContext(c.ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	parts := make([][]row, (len(candidates)+perWorker-1)/perWorker)
	for i := range parts {
		part := candidates[i*perWorker : min((i+1)*perWorker, len(candidates))]
		group.Go(func() error {
			found, err := test.all(ctx, part)
			parts[i] = found
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(parts...), nil
}

// tester decides whether resources match.
type tester struct {
	store  *store
	query  search.Query
	filter *search.Filter
	own    string           // the patient whose compartment is searched, "" for none
	member []*search.Filter // any of which places a resource in the compartment
}

func (s *Server) newTester(c *call, typ int, q search.Query, within *compartment) (*tester, error) {
	matcher := search.Matcher{Base: c.at, Now: s.o.Now}
	filter, err := matcher.Compile(q)
	if err != nil {
		return nil, err
	}
	t := &tester{store: s.store, query: q, filter: filter}
	if within == nil {
		return t, nil
	}
	t.own = within.id
	name := resourceTypes[typ].name
	for _, param := range strings.Fields(resourceTypes[typ].compartment) {
		d, ok := search.Lookup(name, param)
		if !ok {
			return nil, fmt.Errorf("there is no parameter %s of %s", param, name)
		}
		one, err := matcher.Compile(search.Query{Type: name, Params: []search.Param{{Definition: d, Values: []string{"Patient/" + within.id}}}})
		if err != nil {
			return nil, err
		}
		t.member = append(t.member, one)
	}
	return t, nil
}

func (t *tester) all(ctx context.Context, candidates []uint32) ([]row, error) {
	var found []row
	for i, record := range candidates {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v := t.store.get(record)
		if v.gone {
			continue
		}
		res, err := fhir.ParseResource(v.raw)
		if err != nil {
			return nil, err
		}
		if t.matches(res) {
			found = append(found, row{record, sortKeys(t.query, res)})
		}
	}
	return found, nil
}

// matches takes what cannot be decided, because a value in the resource is
// broken, for no match: one bad record must not stop a search.
func (t *tester) matches(res *fhir.Resource) bool {
	if ok, err := t.filter.Match(res); err != nil || !ok {
		return false
	}
	if t.own == "" || res.Type() == "Patient" && res.ID() == t.own {
		return true
	}
	return slices.ContainsFunc(t.member, func(f *search.Filter) bool {
		ok, err := f.Match(res)
		return err == nil && ok
	})
}

// candidates gives the records that may match, in order of arrival: those that
// the most selective indexed parameter leads to, or else the whole type.
func (s *Server) candidates(at fhir.Base, typ int, q search.Query, within *compartment) []uint32 {
	var best []uint32
	narrowed := false
	consider := func(found []uint32) {
		if !narrowed || len(found) < len(best) {
			best, narrowed = found, true
		}
	}
	if within != nil {
		found := s.store.under(s.store.key(">Patient", within.id), typ)
		if own, ok := s.store.find(typ, within.id); ok && resourceTypes[typ].name == "Patient" {
			found = append(found, own.record)
		}
		consider(found)
	}
	for _, p := range q.Params {
		if found, ok := s.indexed(at, typ, p); ok {
			consider(found)
		}
	}
	if narrowed {
		return best
	}
	return s.store.ofType(typ)
}

// indexed gives the records that one parameter leads to, and whether the index
// can tell.
func (s *Server) indexed(at fhir.Base, typ int, p search.Param) ([]uint32, bool) {
	name := resourceTypes[typ].name
	var found []uint32
	for _, value := range p.Values {
		if strings.Contains(value, `\`) || p.Definition.Name == "_id" && strings.Contains(value, "|") {
			return nil, false
		}
		switch {
		case p.Definition.Name == "_id" && p.Modifier == "":
			if v, ok := s.store.find(typ, value); ok {
				found = append(found, v.record)
			}
		case p.Definition.Name == "identifier" && p.Modifier == "" && hasIdentifierKey(name):
			_, code, both := strings.Cut(value, "|")
			if !both {
				code = value
			}
			if code == "" {
				return nil, false
			}
			found = append(found, s.store.under(s.store.identifierKey(name, code), typ)...)
		case p.Definition.Kind == search.Reference:
			targets, ok := referenceTargets(at, p, value)
			if !ok {
				return nil, false
			}
			for _, to := range targets {
				found = append(found, s.store.under(s.store.key(">"+to.Type, to.ID), typ)...)
			}
		default:
			return nil, false
		}
	}
	slices.Sort(found)
	return slices.Compact(found), true
}

// referenceTargets gives the resources that a reference value may mean. Not
// decided by the index: modifiers other than a type, other hosts, and types
// that elements of type canonical name by URL, which are not indexed.
func referenceTargets(at fhir.Base, p search.Param, value string) ([]fhir.Reference, bool) {
	_, typed := typeNamed(p.Modifier)
	if strings.Contains(value, "/") {
		to := at.Resolve(value)
		return []fhir.Reference{to}, to.Where == fhir.Local && (typed || p.Modifier == "") && !isCanonical(to.Type)
	}
	if typed {
		return []fhir.Reference{{Type: p.Modifier, ID: value}}, !isCanonical(p.Modifier)
	}
	// A bare id may name any type: records do not keep to the declared targets.
	targets := make([]fhir.Reference, len(resourceTypes))
	for i := range resourceTypes {
		targets[i] = fhir.Reference{Type: resourceTypes[i].name, ID: value}
	}
	return targets, p.Modifier == "" && !slices.ContainsFunc(p.Definition.Targets, isCanonical)
}

// isCanonical says whether a type is one that canonical elements may name.
func isCanonical(typ string) bool {
	i, ok := typeNamed(typ)
	if !ok {
		return true
	}
	info := resourceTypes[i]
	return slices.Contains(strings.Fields(info.mandatory+" "+info.summary), "url")
}

// namesPatients says whether a parameter may hold the reference to a patient.
func namesPatients(p search.Param) bool {
	return p.Definition.Kind == search.Reference && (len(p.Definition.Targets) == 0 || slices.Contains(p.Definition.Targets, "Patient"))
}

// asked gives the id of the patient that a search names, "" for none.
func asked(typ int, q search.Query, within *compartment) string {
	if within != nil {
		return within.id
	}
	for _, p := range q.Params {
		if len(p.Values) == 0 {
			continue
		}
		value := p.Values[0]
		if p.Definition.Name == "_id" && resourceTypes[typ].name == "Patient" {
			return value
		}
		if p.Definition.Kind != search.Reference {
			continue
		}
		if to, id, ok := target(value); ok && to == "Patient" {
			return id
		}
		if fhir.ValidID(value) && slices.Contains(p.Definition.Targets, "Patient") {
			return value
		}
	}
	return ""
}
