package probe

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
)

func (r *run) reference() string { return "Patient/" + r.o.Patient }

// patients finds how the EHR wants to be told of a patient, by the types that
// take one form and not the other, or find something by one alone.
func (r *run) patients() error {
	onlyBare, onlyLong, both := 0, 0, 0
	for _, typ := range typesToTry() {
		byLong, long := r.first(typ, "patient="+r.reference())
		byBare, bare := r.first(typ, "patient="+r.o.Patient)
		if err := broken(long); err != nil {
			return err
		}
		switch n, m := len(byLong.matches), len(byBare.matches); {
		case long == nil && (bare != nil || n > 0 && m == 0):
			onlyLong++
		case bare == nil && (long != nil || m > 0 && n == 0):
			onlyBare++
		case long == nil && bare == nil:
			both++
		}
	}
	switch {
	case both+onlyBare+onlyLong == 0:
		r.found.Search.How = profiles.ByList
	case onlyBare > 0:
		r.found.Search.Patients = profiles.AsID
		r.note("patient=Patient/…", Synthesised, "written as a bare id")
	case onlyLong > 0:
		r.found.Search.Patients = profiles.AsReference
		r.note("patient=…", Synthesised, "written as Patient/…")
	}
	return nil
}

// mine is the parameter that names the patient, as the EHR takes it.
func (r *run) mine(typ string) search.Param {
	value := r.reference()
	if r.found.Search.Patients == profiles.AsID {
		value = r.o.Patient
	}
	return param(typ, "patient", value)
}

// ways finds whether types are searched or read as lists.
func (r *run) ways() error {
	if r.found.Search.How != profiles.ByList {
		return nil
	}
	naive, _ := r.o.Set.Get("naive")
	r.found.HTTP, r.found.Files, r.found.Metadata = naive.HTTP, naive.Files, profiles.Absent
	up, err := r.o.Connect(naive.HTTP)
	if err != nil {
		return err
	}
	r.up = counted{up, r}
	r.note("search", Synthesised, "no search by patient is taken: types are read as lists, and Portico searches in them")
	return nil
}

// soFar gives a reader with what was found so far.
func (r *run) soFar() (upstream.Reader, error) {
	p := r.found
	p.Types = r.types
	return r.reader(&p)
}

// needed are parameters that some EHRs want beside the patient, with all values
// that there are (R4, and US Core 6.1.0).
func needed(set *profiles.Set, typ string) map[string][]string {
	out := map[string][]string{}
	for _, name := range set.Names() {
		p, _ := set.Get(name)
		if f := p.Types[typ].FanOut; f.Param != "" {
			for _, v := range f.Values {
				if !slices.Contains(out[f.Param], v) {
					out[f.Param] = append(out[f.Param], v)
				}
			}
		}
	}
	for _, v := range uscore.Categories(typ) {
		if !slices.Contains(out["category"], v) {
			out["category"] = append(out["category"], v)
		}
	}
	switch typ {
	case "MedicationRequest":
		out["intent"] = []string{"order", "plan", "proposal", "original-order", "reflex-order", "filler-order", "instance-order", "option"}
	case "CareTeam":
		out["status"] = []string{"active", "proposed", "suspended", "inactive", "entered-in-error"}
	}
	return out
}

// owned finds the patient's resources of each type, and what must be asked beside.
func (r *run) owned() error {
	for _, typ := range typesToTry() {
		if r.found.Search.How != profiles.ByList {
			p, err := r.first(typ, encode(typ, r.mine(typ)))
			if err := broken(err); err != nil {
				return err
			}
			if err != nil {
				r.oneOf(typ)
			} else if others := r.strangers(typ, p.matches); others {
				r.types[typ] = profiles.Type{How: profiles.ByList}
				r.note(typ+"?patient", Synthesised, "the parameter is ignored: the type is read as a list")
			}
		}
		up, err := r.soFar()
		if err != nil {
			return err
		}
		all, err := r.all(up, typ, encode(typ, param(typ, "patient", r.reference())))
		if err := broken(err); err != nil {
			return err
		}
		if err != nil {
			how := "no search by patient is taken"
			if r.found.Search.How == profiles.ByList {
				how = "neither a search by patient is taken, nor is there a list"
			}
			r.note(typ, Missing, "%s", how)
			continue
		}
		r.records[typ] = all.matches
	}
	return nil
}

// enough looks whether there is anything to go by.
func (r *run) enough() error {
	found, refused := 0, 0
	for _, typ := range typesToTry() {
		if list, ok := r.records[typ]; !ok {
			refused++
		} else if len(list) > 0 {
			found++
		}
	}
	switch {
	case refused == len(typesToTry()):
		return errors.New("the EHR gives the test patient by its id, and takes no search at all: the source's credential may not be allowed to search, or every search needs a parameter of the EHR's own (write it into a profile as search.add, give that to the source, and probe again)")
	case found == 0:
		r.note("the patient's record", Untried, "nothing is in it: little can be said; take a patient with much in the record")
	}
	return nil
}

func (r *run) strangers(typ string, found []*fhir.Resource) bool {
	return len(r.expected(typ, []search.Param{param(typ, "patient", r.reference())}, found)) < len(ids(found))
}

// oneOf finds a parameter with which a refused search is taken.
func (r *run) oneOf(typ string) {
	for _, name := range slices.Sorted(maps.Keys(needed(r.o.Set, typ))) {
		values := needed(r.o.Set, typ)[name]
		if _, err := r.first(typ, encode(typ, r.mine(typ), param(typ, name, values[0]))); err != nil {
			continue
		}
		t := profiles.Type{OneOf: []string{name}, FanOut: profiles.FanOut{Param: name, Values: values}}
		for _, other := range []string{"code", "type"} {
			d, known := search.Lookup(typ, other)
			if !known || d.Kind != search.Token {
				continue
			}
			if _, err := r.first(typ, encode(typ, r.mine(typ), param(typ, other, "http://loinc.org|8867-4"))); err == nil {
				t.OneOf = append(t.OneOf, other)
			}
		}
		r.types[typ] = t
		r.note(typ+"?patient", Synthesised, "needs %s: asked for each of %d values; what has none of them is not found", strings.Join(t.OneOf, " or "), len(values))
		return
	}
}

// around gives a search that the EHR takes and that finds one resource, for a
// further parameter to be tried with; ok is false when it has nothing to go by.
func (r *run) around(typ, name string) (base []search.Param, one *fhir.Resource, ok bool) {
	t := r.types[typ]
	for _, res := range r.records[typ] {
		base = []search.Param{r.mine(typ)}
		if len(t.OneOf) > 0 && !slices.Contains(t.OneOf, name) {
			d, _ := search.Lookup(typ, t.FanOut.Param)
			v := value(d, res)
			if v == "" {
				continue
			}
			base = append(base, search.Param{Definition: d, Values: []string{v}})
		}
		return base, res, true
	}
	return []search.Param{r.mine(typ)}, nil, false
}

// parameters tries each parameter of the US Core searches.
func (r *run) parameters() error {
	if r.found.Search.How == profiles.ByList {
		return nil
	}
	r.unstated()
	for _, typ := range typesToTry() {
		if r.types[typ].How == profiles.ByList {
			continue
		}
		for _, name := range namesOf(typ) {
			if name == "patient" || r.found.Search.Unstated == profiles.Drop && name != "_id" && !r.known.Types[typ].Params[name] {
				continue
			}
			good, err := r.try(typ, name)
			if err != nil {
				return err
			}
			if !good {
				t := r.types[typ]
				t.Never = append(slices.Clone(t.Never), name)
				r.types[typ] = t
				r.note(typ+"?"+name, Synthesised, "refused, or does not find what it should: Portico filters")
			}
		}
	}
	return nil
}

// unstated: what the statement does not list is not sent, if the statement lists
// what it should.
func (r *run) unstated() {
	if r.known == nil {
		return
	}
	for _, typ := range typesToTry() {
		if len(r.records[typ]) > 0 && !r.known.Types[typ].Params["patient"] {
			return
		}
	}
	r.found.Search.Unstated = profiles.Drop
}

func namesOf(typ string) []string {
	names := []string{"_id", "_lastUpdated"}
	for _, s := range uscore.Searches(typ) {
		for _, name := range s.Params {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// try asks with one more parameter: with a value of a resource where there is one,
// else with any.
func (r *run) try(typ, name string) (good bool, err error) {
	base, _, _ := r.around(typ, name)
	d, known := search.Lookup(typ, name)
	if !known {
		return true, nil
	}
	for _, res := range r.records[typ] {
		v := value(d, res)
		if v == "" {
			continue
		}
		if d.Kind == search.Date {
			v = day(v)
		}
		if name == "_id" {
			base = nil
		} else if t := r.types[typ]; len(base) > 1 && t.FanOut.Param != "" {
			base[1].Values = []string{value(base[1].Definition, res)}
			if base[1].Values[0] == "" {
				continue
			}
		}
		return r.finds(typ, append(slices.Clone(base), search.Param{Definition: d, Values: []string{v}}), res)
	}
	some := map[search.Kind]string{search.Token: "none", search.String: "none", search.Date: "ge1900-01-01", search.Reference: "Encounter/none", search.URI: "http://none.invalid"}[d.Kind]
	if some == "" || len(base) == 0 {
		return true, nil
	}
	if d.Kind == search.Reference && len(d.Targets) > 0 {
		some = d.Targets[0] + "/none"
	}
	_, err = r.first(typ, encode(typ, append(slices.Clone(base), search.Param{Definition: d, Values: []string{some}})...))
	if err := broken(err); err != nil {
		return false, err
	}
	return err == nil, nil
}

// day cuts a date value to whole days, whose precision is tried by itself.
func day(v string) string {
	prefix := ""
	if len(v) > 2 && v[0] >= 'a' {
		prefix, v = v[:2], v[2:]
	}
	if len(v) >= 10 {
		return orElse(prefix, "ge") + v[:10]
	}
	return "ge1900-01-01"
}

func orElse(v, other string) string {
	if v == "" {
		return other
	}
	return v
}

// finds asks the EHR as it is, all pages of it, and says whether a resource is
// among the answer.
func (r *run) finds(typ string, params []search.Param, res *fhir.Resource) (bool, error) {
	up, err := r.reader(&profiles.Profile{Next: r.found.Next})
	if err != nil {
		return false, err
	}
	got, err := r.all(up, typ, encode(typ, params...))
	if err := broken(err); err != nil {
		return false, err
	}
	return err == nil && has(got.matches, []string{typ + "/" + res.ID()}), nil
}
