package search

import (
	_ "embed"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/portico-fhir/portico/fhir"
)

//go:embed r4.tsv
var r4Table string

//go:embed uscore.tsv
var usCoreTable string

//go:embed types.txt
var typeTable string

// entry is a parameter with its expression compiled.
type entry struct {
	Definition
	paths      []path
	components []component // of a composite, in the order of the value's parts
}

// component is one part of a composite.
type component struct {
	kind  Kind
	paths []path
}

type tables struct {
	types   []string
	entries map[string]map[string]*entry // by type, then name
	sorted  map[string][]Definition
}

// loaded parses the embedded tables once. They are part of the program, so a
// fault in them cannot be met at run time any better than by stopping.
var loaded = sync.OnceValue(func() *tables {
	t, err := parseTables(typeTable, r4Table, usCoreTable)
	if err != nil {
		panic("search: embedded table: " + err.Error())
	}
	return t
})

func parseTables(typeList string, tsv ...string) (*tables, error) {
	t := &tables{entries: map[string]map[string]*entry{}, sorted: map[string][]Definition{}}
	for line := range rows(typeList) {
		t.types = append(t.types, line)
		t.entries[line] = map[string]*entry{}
	}
	for _, table := range tsv {
		for line := range rows(table) {
			if err := t.add(strings.Split(line, "\t")); err != nil {
				return nil, fmt.Errorf("%.60q: %w", line, err)
			}
		}
	}
	for typ, entries := range t.entries {
		markCompartment(entries)
		for _, e := range entries {
			if !e.evaluated() {
				continue
			}
			t.sorted[typ] = append(t.sorted[typ], e.Definition)
		}
		slices.SortFunc(t.sorted[typ], func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	}
	return t, nil
}

// markCompartment adds what the CompartmentDefinition leaves out: Encounter's
// "subject" looks at the same element as its "patient", so it says whose the
// records are just as well.
func markCompartment(entries map[string]*entry) {
	owners := map[string]bool{}
	for _, e := range entries {
		if e.Compartment {
			for element := range e.elements() {
				owners[element] = true
			}
		}
	}
	for _, e := range entries {
		if !slices.Contains(e.Targets, "Patient") {
			continue
		}
		for element := range e.elements() {
			e.Compartment = e.Compartment || owners[element]
		}
	}
}

// elements gives the paths a parameter looks at, whatever it asks of them.
func (e *entry) elements() iter.Seq[string] {
	return func(yield func(string) bool) {
		for alternative := range strings.SplitSeq(e.Expression, " | ") {
			element, _, _ := strings.Cut(alternative, ".where(resolve() is ")
			if !yield(element) {
				return
			}
		}
	}
}

// evaluated says whether a parameter can be used at all.
func (e *entry) evaluated() bool {
	_, no := notEvaluated[parameter{e.Type, e.Name}]
	return !no && e.Kind != Special
}

func rows(table string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(table, "\n") {
			if line != "" && line[0] != '#' && !yield(line) {
				return
			}
		}
	}
}

// add reads one row; one of "Resource" stands for every type.
func (t *tables) add(f []string) error {
	if len(f) != 8 {
		return fmt.Errorf("%d columns instead of 8", len(f))
	}
	types := []string{f[0]}
	if f[0] == "Resource" {
		types = t.types
	}
	for _, typ := range types {
		if t.entries[typ] == nil {
			return fmt.Errorf("%s is no resource type", typ)
		}
		e := &entry{Definition: Definition{Type: typ, Name: f[1], Kind: Kind(f[2]), Compartment: f[3] == "c", Targets: t.targets(f[4])}}
		e.Expression = f[5]
		if f[0] == "Resource" {
			e.Expression = typ + strings.TrimPrefix(f[5], "Resource")
		}
		var err error
		if e.paths, err = compileAll(e.Expression, f[6]); err != nil {
			return err
		}
		if e.components, err = compileComponents(f[7]); err != nil {
			return err
		}
		t.entries[typ][e.Name] = e
	}
	return nil
}

func (t *tables) targets(list string) []string {
	switch list {
	case "":
		return nil
	case "*":
		return t.types
	}
	return strings.Split(list, ",")
}

func compileComponents(list string) ([]component, error) {
	if list == "" {
		return nil, nil
	}
	var out []component
	for one := range strings.SplitSeq(list, "; ") {
		f := strings.Split(one, "^")
		if len(f) != 3 {
			return nil, fmt.Errorf("component %q", one)
		}
		paths, err := compileAll(f[1], f[2])
		if err != nil {
			return nil, err
		}
		out = append(out, component{Kind(f[0]), paths})
	}
	return out, nil
}

func find(typ, name string) *entry { return loaded().entries[typ][name] }

// Lookup gives the parameter of that name of a resource type, if Portico can
// evaluate it. Names are case-sensitive (R4 search, 3.1.1).
func Lookup(typ, name string) (Definition, bool) {
	if e := find(typ, name); e != nil && e.evaluated() {
		return e.Definition, true
	}
	return Definition{}, false
}

// Params gives all parameters of a resource type that Portico can evaluate,
// sorted by name.
func Params(typ string) []Definition { return slices.Clone(loaded().sorted[typ]) }

// IsResourceType says whether typ is a concrete resource type of R4.
func IsResourceType(typ string) bool { return loaded().entries[typ] != nil }

// ResourceTypes gives all concrete resource types of R4, sorted.
func ResourceTypes() []string { return slices.Clone(loaded().types) }

// Values walks the elements of r that the parameter looks at: Reference,
// CodeableConcept, Period, plain values, ... A resource of another type, or a
// parameter that is not in the tables, has none.
func (d Definition) Values(r *fhir.Resource) iter.Seq[fhir.Node] {
	return func(yield func(fhir.Node) bool) {
		e := find(d.Type, d.Name)
		if e == nil || r.Type() != d.Type {
			return
		}
		each(e.paths, r.Root(), r.Root(), func(v value) bool { return yield(v.node) })
	}
}
