package search

import (
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

// Matcher decides whether a resource satisfies a query, with the semantics of
// R4 search. What it cannot decide is an error, never a match and never a
// silent miss.
type Matcher struct {
	Base fhir.Base        // of the server the resources come from
	Now  func() time.Time // for the prefix "ap"; needed only there
}

// Filter is the filters of a query made ready, for asking of many resources. It
// may be used from several goroutines.
type Filter struct {
	typ    string
	params []criterion
}

// test asks one element. It is built from one value of a parameter.
type test func(v value) (bool, error)

// criterion is one parameter: its tests are alternatives.
type criterion struct {
	entry  *entry
	want   bool // false turns the answer around (:not, :missing=true)
	tests  []test
	exists bool // :missing, there are no tests
}

// Compile makes the filters of q ready. It fails when a filter cannot be
// evaluated; the error is a *Error.
func (m Matcher) Compile(q Query) (*Filter, error) {
	f := &Filter{typ: q.Type}
	for _, p := range q.Params {
		c, err := m.criterion(q.Type, p)
		if err != nil {
			return nil, err
		}
		f.params = append(f.params, c)
	}
	return f, nil
}

// Match says whether r is of the type searched and satisfies every filter.
func (f *Filter) Match(r *fhir.Resource) (bool, error) {
	if r.Type() != f.typ {
		return false, nil
	}
	var undecided error
	for _, c := range f.params {
		ok, err := c.match(r)
		if err == nil && !ok {
			return false, nil // whatever the others say
		}
		undecided = errors.Join(undecided, err)
	}
	return undecided == nil, undecided
}

// Match says whether r is of the type searched and satisfies every filter of q.
// Includes, order and paging are not its business.
func (m Matcher) Match(q Query, r *fhir.Resource) (bool, error) {
	f, err := m.Compile(q)
	if err != nil {
		return false, err
	}
	return f.Match(r)
}

// MatchParam says whether r satisfies one filter.
func (m Matcher) MatchParam(p Param, r *fhir.Resource) (bool, error) {
	c, err := m.criterion(p.Definition.Type, p)
	if err != nil {
		return false, err
	}
	if r.Type() != p.Definition.Type {
		return false, nil
	}
	return c.match(r)
}

func (m Matcher) criterion(typ string, p Param) (criterion, error) {
	fail := func(err error) (criterion, error) {
		return criterion{}, &Error{Param: printable(p.Definition.Name), Reason: err.Error()}
	}
	e := find(p.Definition.Type, p.Definition.Name)
	if e == nil || p.Definition.Type != typ {
		return criterion{}, &Error{Param: printable(p.Definition.Name), Reason: "is not a search parameter of this type", Unknown: true}
	}
	if !e.evaluated() {
		return fail(errUnsupported)
	}
	if len(p.Values) == 0 {
		return fail(errEmpty)
	}
	if p.Modifier == "missing" {
		if len(p.Values) != 1 || p.Values[0] != "true" && p.Values[0] != "false" || e.Kind == Composite {
			return fail(errMissing)
		}
		return criterion{entry: e, exists: true, want: p.Values[0] == "false"}, nil
	}
	c := criterion{entry: e, want: p.Modifier != "not"}
	for _, v := range p.Values {
		t, err := m.test(e, p.Modifier, v)
		if err != nil {
			return fail(err)
		}
		c.tests = append(c.tests, t)
	}
	return c, nil
}

// Reasons why a value cannot be used. They name no value.
var (
	errEmpty       = errors.New("has an empty value")
	errMissing     = errors.New(":missing takes true or false")
	errModifier    = errors.New("does not take this modifier")
	errUnsupported = errors.New("cannot be evaluated")
	errEscape      = errors.New("has a \\ that escapes nothing")
)

// test makes one value of a parameter ready to be compared.
func (m Matcher) test(e *entry, modifier, v string) (test, error) {
	if v == "" {
		return nil, errEmpty
	}
	if !wellEscaped(v) {
		return nil, errEscape
	}
	if e.Kind == Composite {
		return m.compositeTest(e, modifier, v)
	}
	return m.plainTest(e.Kind, e.Targets, modifier, v)
}

func (m Matcher) plainTest(kind Kind, targets []string, modifier, v string) (test, error) {
	if modifier != "" && (kind == Number || kind == Date || kind == Quantity) {
		return nil, errModifier
	}
	switch kind {
	case Token:
		return tokenTest(modifier, v)
	case String:
		return stringTest(modifier, v)
	case Date:
		return m.dateTest(v)
	case Number:
		return numberTest(v)
	case Quantity:
		return quantityTest(v)
	case Reference:
		return m.referenceTest(targets, modifier, v)
	case URI:
		return uriTest(modifier, v)
	}
	return nil, errUnsupported
}

// match asks the elements of r. One that matches decides, whatever is wrong
// with the others.
func (c criterion) match(r *fhir.Resource) (bool, error) {
	found := false
	var undecided error
	exists := false
	each(c.entry.paths, r.Root(), r.Root(), func(v value) bool {
		exists = true
		for _, t := range c.tests {
			ok, err := t(v)
			if ok && err == nil {
				found = true
				return false
			}
			if err != nil && undecided == nil {
				undecided = fmt.Errorf("search: parameter %q: a value in the resource %w", c.entry.Name, err)
			}
		}
		return !c.exists
	})
	switch {
	case c.exists:
		return exists == c.want, nil
	case !exists && c.entry.paths[0].exists: // deceased=false on a living patient
		return c.absent() == c.want, nil
	case found:
		return c.want, nil
	case undecided != nil:
		return false, undecided
	}
	return !c.want, nil
}

// absent asks a parameter about existence when there is nothing.
func (c criterion) absent() bool {
	for _, t := range c.tests {
		if ok, err := t(value{exists: true, typ: c.entry.paths[0].leaf}); ok && err == nil {
			return true
		}
	}
	return false
}

// parameter names one of a type.
type parameter struct{ typ, name string }

// notEvaluated are the parameters of the tables that Portico does not evaluate,
// with the reason. Kind Special (Location.near) is not evaluated either: it
// needs geometry over units that R4 leaves to the server.
var notEvaluated = map[parameter]string{
	{"Patient", "phonetic"}:       "R4 leaves the algorithm to the server, so nobody can decide it for another",
	{"Practitioner", "phonetic"}:  "as Patient.phonetic",
	{"Person", "phonetic"}:        "as Patient.phonetic",
	{"RelatedPerson", "phonetic"}: "as Patient.phonetic",
	{"Organization", "phonetic"}:  "as Patient.phonetic",
	{"Bundle", "composition"}:     "looks at a resource inside the bundle, which only a chain can ask about",
	{"Bundle", "message"}:         "as Bundle.composition",
}
