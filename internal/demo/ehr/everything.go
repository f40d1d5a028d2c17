package ehr

import (
	"net/http"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// everything answers GET Patient/[id]/$everything: the patient, their
// compartment type by type, and what those refer to outside any compartment.
// Without _count it answers in one page, as real servers do.
func (s *Server) everything(c *call, id string) (answer, error) {
	if c.method != http.MethodGet {
		return answer{}, notAllowed("GET")
	}
	if err := s.onlyKnown(c, "_count", "_type", "_since", pageParam); err != nil {
		return answer{}, err
	}
	count, token, err := pageParams(c)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		return s.nextPage(c, token)
	}
	filter, err := everythingFilter(c, s.started)
	if err != nil {
		return answer{}, err
	}
	patient, _ := typeNamed("Patient")
	own, ok := s.store.find(patient, id)
	if !ok {
		return answer{}, notFound()
	}
	if own.gone {
		return answer{}, refuse(http.StatusGone, "deleted", "the patient has been deleted")
	}
	w := walk{s: s, c: c, filter: filter, seen: map[uint32]bool{own.record: true}}
	if err := w.compartment(id, own.record); err != nil {
		return answer{}, err
	}
	if err := w.outside(); err != nil {
		return answer{}, err
	}
	snap := &snapshot{kind: "searchset", path: strings.Join(c.path, "/"), query: search.Query{Count: count}, rows: w.rows, total: len(w.rows), typ: patient, asked: id}
	a, err := s.firstPage(c, snap)
	if err == nil && count < 0 && len(snap.rows) > snap.size {
		snap.size = len(snap.rows)
		return s.page(c, snap, [16]byte{}, 0)
	}
	return a, err
}

// walk gathers the rows of $everything.
type walk struct {
	s       *Server
	c       *call
	filter  func(*fhir.Resource) bool
	rows    []rowRef
	members []*fhir.Resource
	seen    map[uint32]bool
}

func (w *walk) compartment(id string, own uint32) error {
	if err := w.take(own, false); err != nil {
		return err
	}
	for typ := range resourceTypes {
		if resourceTypes[typ].compartment == "" || resourceTypes[typ].name == "Patient" {
			continue
		}
		found, err := w.s.matches(w.c, typ, search.Query{Type: resourceTypes[typ].name, Count: -1}, &compartment{id})
		if err != nil {
			return err
		}
		for _, row := range found {
			w.seen[row.record] = true
			if err := w.take(row.record, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// take adds a row, and keeps the resource to look at its references.
func (w *walk) take(record uint32, include bool) error {
	v := w.s.store.get(record)
	if v.gone {
		return nil
	}
	res, err := fhir.ParseResource(v.raw)
	if err != nil {
		return err
	}
	w.members = append(w.members, res)
	if w.filter(res) {
		w.rows = append(w.rows, rowRef{record: record, include: include})
	}
	return nil
}

// outside adds what the members refer to, one step away.
func (w *walk) outside() error {
	for _, res := range w.members {
		for reference := range references(res.Root()) {
			to := w.c.at.Resolve(reference.Text())
			typ, ok := typeNamed(to.Type)
			if to.Where != fhir.Local || !ok || resourceTypes[typ].compartment != "" {
				continue
			}
			v, ok := w.s.store.find(typ, to.ID)
			if !ok || w.seen[v.record] {
				continue
			}
			w.seen[v.record] = true
			if err := w.take(v.record, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// everythingFilter reads _type and _since. A resource without lastUpdated counts
// as changed when the server started.
func everythingFilter(c *call, started time.Time) (func(*fhir.Resource) bool, error) {
	pairs, err := search.ParsePairs(c.query)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "invalid", "%s", err)
	}
	types := map[string]bool{}
	var since time.Time
	for _, p := range pairs {
		switch p.Name {
		case "_type":
			for _, name := range strings.Split(p.Value, ",") {
				if _, ok := typeNamed(name); !ok {
					return nil, refuse(http.StatusBadRequest, "value", "_type names no resource type of FHIR R4")
				}
				types[name] = true
			}
		case "_since":
			if since, err = time.Parse(time.RFC3339, p.Value); err != nil {
				return nil, refuse(http.StatusBadRequest, "value", "_since must be an instant")
			}
		}
	}
	return func(res *fhir.Resource) bool {
		updated, err := time.Parse(time.RFC3339, res.LastUpdated())
		if err != nil {
			updated = started
		}
		return (len(types) == 0 || types[res.Type()]) && !updated.Before(since)
	}, nil
}
