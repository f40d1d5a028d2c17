package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
)

// noneThere is what is said of the searches of a type that the patient has none of.
const noneThere = "none in the record"

// judge asks every US Core search, of the EHR as it is and through the proposal.
func (r *run) judge() error {
	for _, typ := range typesToTry() {
		for _, s := range uscore.Searches(typ) {
			f, err := r.judgeOne(typ, s.Params)
			if err != nil {
				return err
			}
			r.report.Searches = append(r.report.Searches, f)
		}
	}
	return nil
}

func (r *run) judgeOne(typ string, names []string) (Finding, error) {
	f := Finding{What: typ + "?" + strings.Join(names, "&"), Verdict: Untried}
	params := r.values(typ, names)
	if params == nil {
		if len(r.records[typ]) == 0 {
			f.Note = noneThere
		}
		return f, nil
	}
	want := r.expected(typ, params, r.records[typ])
	query := encode(typ, params...)
	p := profiles.Profile{Next: r.found.Next}
	asIs, err := r.reader(&p)
	if err != nil {
		return f, err
	}
	if r.found.Search.How != profiles.ByList {
		got, err := r.all(asIs, typ, query)
		if err := broken(err); err != nil {
			return f, err
		}
		if err == nil && has(got.matches, want) {
			f.Verdict = Works
			return f, nil
		}
	}
	ours, err := r.soFar()
	if err != nil {
		return f, err
	}
	got, err := r.all(ours, typ, query)
	if err := broken(err); err != nil {
		return f, err
	}
	f.Verdict = Synthesised
	if err != nil || !has(got.matches, want) {
		f.Verdict, f.Note = Missing, "refused, or not all is found"
	}
	return f, nil
}

// values takes values from a resource that has them all.
func (r *run) values(typ string, names []string) []search.Param {
	for _, one := range r.records[typ] {
		var params []search.Param
		for _, name := range names {
			d, known := search.Lookup(typ, name)
			if !known {
				return nil
			}
			v := value(d, one)
			if name == "patient" {
				v = r.reference()
			}
			if v != "" {
				params = append(params, search.Param{Definition: d, Values: []string{v}})
			}
		}
		if len(params) == len(names) {
			return params
		}
	}
	return nil
}

// propose writes the profile as what differs from the nearest one there is.
func (r *run) propose() error {
	r.found.Types, r.found.Search.Add = r.types, r.o.Add
	r.found.Name, r.found.About = r.o.Name, "Proposed by portico probe"
	best, shared := profiles.Default, 1 // one thing in common, such as a page's size, is no likeness
	for _, name := range r.o.Set.Names() {
		p, _ := r.o.Set.Get(name)
		if n, ok := within(reflect.ValueOf(*p), reflect.ValueOf(r.found)); ok && n > shared {
			best, shared = name, n
		}
	}
	base, _ := r.o.Set.Get(best)
	diff := r.found
	less(reflect.ValueOf(&diff).Elem(), reflect.ValueOf(*base))
	diff.Name, diff.About, diff.Extends = r.found.Name, r.found.About, best
	raw, err := yaml.Marshal(diff)
	if err != nil {
		return fmt.Errorf("probe: writing the profile: %w", err)
	}
	set, err := r.o.Set.With(map[string][]byte{"proposed": raw})
	if err != nil {
		return fmt.Errorf("probe: the proposal does not read back: %w", err)
	}
	r.report.Nearest, r.report.YAML = best, string(raw)
	r.report.Profile, _ = set.Get(r.o.Name)
	return nil
}

var named = []string{"Name", "About", "Extends"}

// within says whether whatever base says is said by p too, and how much that is:
// only then can p extend it, since nothing can be taken back.
func within(base, p reflect.Value) (shared int, ok bool) {
	for i := range base.NumField() {
		b, v := base.Field(i), p.Field(i)
		switch {
		case slices.Contains(named, base.Type().Field(i).Name) || b.IsZero():
		case b.Kind() == reflect.Map && b.Len() == 0:
		case b.Kind() == reflect.Struct:
			n, ok := within(b, v)
			if !ok {
				return 0, false
			}
			shared += n
		case reflect.DeepEqual(b.Interface(), v.Interface()):
			shared++
		default:
			return 0, false
		}
	}
	return shared, true
}

// less takes from p what base says already.
func less(p, base reflect.Value) {
	for i := range p.NumField() {
		v, b := p.Field(i), base.Field(i)
		switch {
		case v.Kind() == reflect.Struct:
			less(v, b)
		case reflect.DeepEqual(v.Interface(), b.Interface()):
			v.SetZero()
		}
	}
}

// JSON writes the report.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes the report for a terminal. It ends with the profile.
func (r *Report) Text(w io.Writer) error {
	var out strings.Builder
	for _, s := range []struct{ title, verdict string }{
		{"Works as R4 says:", Works},
		{"Portico will do it with the profile below:", Synthesised},
		{"Nothing to try it with in this patient's record:", Untried},
		{"Will be missing:", Missing},
	} {
		lines := append(r.plainLines(s.verdict), r.searchLines(s.verdict)...)
		if len(lines) > 0 {
			fmt.Fprintf(&out, "%s\n%s\n", s.title, strings.Join(lines, "\n"))
		}
	}
	fmt.Fprintf(&out, "\nAsked %d times. Proposed profile (what differs from %s); as a file, it is named in\nprofile_files, and its name stands at the source as profile:\n\n%s", r.Requests, r.Nearest, r.YAML)
	_, err := io.WriteString(w, out.String())
	return err
}

func line(what, note string) string {
	return strings.TrimRight(fmt.Sprintf("  %-30s %s", what, note), " ")
}

func (r *Report) plainLines(verdict string) (lines []string) {
	for _, f := range r.Server {
		if f.Verdict == verdict {
			lines = append(lines, line(f.What, f.Note))
		}
	}
	return lines
}

// searchLines puts the searches of a type together.
func (r *Report) searchLines(verdict string) (lines []string) {
	var types []string
	searches := map[string][]string{}
	for _, f := range r.Searches {
		typ, params, _ := strings.Cut(f.What, "?")
		if f.Verdict != verdict {
			continue
		}
		if f.Note == noneThere {
			params = noneThere
		}
		if searches[typ] == nil {
			types = append(types, typ)
		}
		searches[typ] = append(searches[typ], params)
	}
	for _, typ := range types {
		lines = append(lines, wrapped(typ, slices.Compact(searches[typ]))...)
	}
	return lines
}

const width = 100 // of a line

func wrapped(what string, list []string) (lines []string) {
	text := ""
	for i, one := range list {
		if i < len(list)-1 {
			one += ", "
		}
		if text != "" && len(text)+len(one) > width-33 {
			lines, what, text = append(lines, line(what, text)), "", ""
		}
		text += one
	}
	return append(lines, line(what, text))
}
