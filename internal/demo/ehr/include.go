package ehr

import (
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// maxIncluded bounds what one page may pull in.
const maxIncluded = 10000

// included gives what _include and _revinclude add to a page, each resource
// once and none that is a match (R4 search, section 3.1.1.5.4). Only includes
// marked :iterate look at what other includes brought.
func (s *Server) included(c *call, q search.Query, matches []*fhir.Resource) ([]*fhir.Resource, error) {
	if len(q.Include) == 0 && len(q.RevInclude) == 0 {
		return nil, nil
	}
	seen := map[string]bool{}
	for _, res := range matches {
		seen[res.Type()+"/"+res.ID()] = true
	}
	var all []*fhir.Resource
	for from, first := matches, true; len(from) > 0 && len(all) < maxIncluded; first = false {
		var added []*fhir.Resource
		add := func(res *fhir.Resource) {
			if name := res.Type() + "/" + res.ID(); !seen[name] {
				seen[name] = true
				added = append(added, res)
			}
		}
		for _, res := range from {
			for _, inc := range q.Include {
				if first || inc.Iterate {
					s.forward(c, inc, res, add)
				}
			}
			for _, inc := range q.RevInclude {
				if first || inc.Iterate {
					s.backward(c, inc, res, add)
				}
			}
		}
		all = append(all, added...)
		from = added
	}
	return all, nil
}

// forward follows the references that an _include names.
func (s *Server) forward(c *call, inc search.Include, res *fhir.Resource, add func(*fhir.Resource)) {
	if res.Type() != inc.Source {
		return
	}
	for _, to := range pointedAt(c.at, inc, res) {
		if inc.Target != "" && inc.Target != to.Type {
			continue
		}
		typ, ok := typeNamed(to.Type)
		if !ok {
			continue
		}
		if v, ok := s.store.find(typ, to.ID); ok && !v.gone {
			if found, err := fhir.ParseResource(v.raw); err == nil {
				add(found)
			}
		}
	}
}

// backward finds the resources whose reference names this one.
func (s *Server) backward(c *call, inc search.Include, res *fhir.Resource, add func(*fhir.Resource)) {
	typ, ok := typeNamed(inc.Source)
	if !ok || inc.Target != "" && inc.Target != res.Type() {
		return
	}
	for _, record := range s.store.under(s.store.key(">"+res.Type(), res.ID()), typ) {
		v := s.store.get(record)
		if v.gone {
			continue
		}
		found, err := fhir.ParseResource(v.raw)
		if err != nil {
			continue
		}
		for _, to := range pointedAt(c.at, inc, found) {
			if to.Is(res.Type(), res.ID()) {
				add(found)
				break
			}
		}
	}
}

// pointedAt gives the local references of one search parameter.
func pointedAt(at fhir.Base, inc search.Include, res *fhir.Resource) []fhir.Reference {
	d, ok := search.Lookup(res.Type(), inc.Param)
	if !ok || d.Kind != search.Reference {
		return nil
	}
	var out []fhir.Reference
	for value := range d.Values(res) {
		if value.IsObject() {
			value = value.Get("reference")
		}
		if to := at.Resolve(value.Text()); to.Where == fhir.Local {
			out = append(out, to)
		}
	}
	return out
}
