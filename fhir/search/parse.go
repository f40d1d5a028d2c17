package search

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

// Options says how a query is read.
type Options struct {
	Strict   bool      // an unknown parameter is an error (Prefer: handling=strict)
	MaxCount int       // _count is cut to this; 0 is no limit
	Base     fhir.Base // absolute references on it are read as Type/id
	// Trusted lifts what safety.go holds apps to, up to what the Matcher can
	// evaluate. For servers that hold the data themselves.
	Trusted bool
}

// Parse reads a search on one resource type. Everything in the Query has been
// understood; the rest is an error, or, if it is merely unknown and o is not
// Strict, a name in Query.Ignored. Filters come out in one canonical order:
// all must hold, so their order says nothing. The error is a *Error.
func Parse(typ string, pairs []Pair, o Options) (Query, error) {
	if !IsResourceType(typ) {
		return Query{}, &Error{Reason: "not a resource type of R4"}
	}
	p := parser{query: Query{Type: typ, Count: -1}, o: o, once: map[string]bool{}}
	for _, pair := range pairs {
		if err := p.pair(pair); err != nil {
			return Query{}, err
		}
	}
	if !o.Trusted {
		if err := checkSingle(p.query.Params); err != nil {
			return Query{}, err
		}
	}
	slices.SortStableFunc(p.query.Params, compareParams)
	return p.query, nil
}

func compareParams(a, b Param) int {
	return cmp.Or(strings.Compare(a.Definition.Name, b.Definition.Name),
		strings.Compare(a.Modifier, b.Modifier), slices.Compare(a.Values, b.Values))
}

type parser struct {
	query Query
	o     Options
	once  map[string]bool // control parameters seen
}

// pair sorts one parameter by its name: refused, control, filter, unknown.
func (p *parser) pair(pair Pair) error {
	name, modifier, modified := strings.Cut(pair.Name, ":")
	refuse := func(reason string) error { return &Error{Param: printable(pair.Name), Reason: reason} }
	switch reason := never[name]; {
	case reason != "":
		return refuse(reason)
	case strings.Contains(pair.Name, "."):
		return refuse("chained parameters are not supported")
	case !nameForm.MatchString(name) || modified && !nameForm.MatchString(modifier):
		return refuse("the name of a parameter is malformed")
	case pair.Value == "":
		return refuse("has an empty value")
	}
	if name == "_include" || name == "_revinclude" {
		return p.include(name, modifier, pair.Value)
	}
	if control, ok := controls[name]; ok {
		if modified {
			return refuse("takes no modifier")
		}
		if p.once[name] {
			return refuse("may be given once only")
		}
		p.once[name] = true
		if err := control(p, pair.Value); err != nil {
			return refuse(err.Error())
		}
		return nil
	}
	e := find(p.query.Type, name)
	if e == nil {
		return p.unknown(name, pair.Name)
	}
	values, err := p.values(e, modifier, pair.Value)
	if err != nil {
		return refuse(err.Error())
	}
	p.query.Params = append(p.query.Params, Param{Definition: e.Definition, Modifier: modifier, Values: values})
	return nil
}

// unknown drops or refuses. Control parameters are never dropped: they change
// what the rest means. Nor is a known name in the wrong case: other servers may
// read it (docs/pitfalls.md 12).
func (p *parser) unknown(name, whole string) error {
	e := &Error{Param: printable(whole), Reason: "is not a search parameter of " + p.query.Type, Unknown: true}
	if p.o.Strict || name[0] == '_' {
		return e
	}
	for known := range loaded().entries[p.query.Type] {
		if strings.EqualFold(known, name) {
			e.Reason += "; names are case-sensitive"
			return e
		}
	}
	if whole = printable(whole); whole != "" && !slices.Contains(p.query.Ignored, whole) {
		p.query.Ignored = append(p.query.Ignored, whole)
	}
	return nil
}

// values cuts a value into its alternatives and makes sure that each can be
// evaluated.
func (p *parser) values(e *entry, modifier, value string) ([]string, error) {
	if !e.evaluated() {
		return nil, errUnsupported
	}
	if !allowModifier(e, modifier, p.o) {
		return nil, errModifier
	}
	values := split(value, ',')
	if modifier == "missing" && (value != "true" && value != "false" || e.Kind == Composite) {
		return nil, errMissing
	}
	if len(values) > maxValues {
		return nil, errors.New("has too many values")
	}
	// Only whether the values can be evaluated is asked, which needs no time.
	matcher := Matcher{Base: p.o.Base, Now: func() time.Time { return time.Time{} }}
	for i, v := range values {
		if v == "" {
			return nil, errEmpty
		}
		if modifier == "missing" {
			continue
		}
		if e.Kind == Reference && modifier != "identifier" {
			v = p.relative(v)
			values[i] = v
			if err := checkReference(e, unescape(v)); err != nil && !p.o.Trusted {
				return nil, err
			}
		}
		if _, err := matcher.test(e, modifier, v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// relative turns an absolute reference on the own base into Type/id.
func (p *parser) relative(v string) string {
	if p.o.Base == (fhir.Base{}) {
		return v
	}
	if rest, ok := p.o.Base.Relative(unescape(v)); ok && (fhir.Base{}).Resolve(rest).Where == fhir.Local {
		return rest
	}
	return v
}

// include reads Source:param[:Target].
func (p *parser) include(name, modifier, value string) error {
	refuse := func(reason string) error { return &Error{Param: name, Reason: reason} }
	parts := strings.Split(value, ":")
	if modifier != "" && modifier != "iterate" {
		return refuse("takes no modifier but :iterate")
	}
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "*") {
		return refuse("takes Type:parameter or Type:parameter:Target, one at a time and without *")
	}
	in := Include{Source: parts[0], Param: parts[1], Iterate: modifier == "iterate"}
	e := find(in.Source, in.Param)
	if !includable(e) {
		return refuse("names no reference parameter")
	}
	if len(parts) == 3 {
		in.Target = parts[2]
		if !slices.Contains(e.Targets, in.Target) {
			return refuse("names a type that the parameter does not refer to")
		}
	}
	reverse := name == "_revinclude"
	if reason := p.pairAllowed(in, e, reverse); reason != "" {
		return refuse(reason)
	}
	list := &p.query.Include
	if reverse {
		list = &p.query.RevInclude
	}
	if !slices.Contains(*list, in) {
		*list = append(*list, in)
	}
	return nil
}

// pairAllowed gives the reason against an include, or "".
func (p *parser) pairAllowed(in Include, e *entry, reverse bool) string {
	pair := in.Source + ":" + in.Param
	switch {
	case p.o.Trusted:
	case in.Iterate && (reverse || !slices.Contains(iterated, pair)):
		return "does not take :iterate for this pair"
	case reverse && !slices.Contains(RevIncludes(p.query.Type), pair):
		return "does not allow this pair here"
	case !reverse && !in.Iterate && in.Source != p.query.Type:
		return "must start at the type searched"
	}
	if reverse && !in.Iterate {
		if in.Target != "" && in.Target != p.query.Type || !slices.Contains(e.Targets, p.query.Type) {
			return "names a parameter that does not refer to the type searched"
		}
	}
	return ""
}

// controls are the parameters that shape the answer, with what reads them.
var controls = map[string]func(*parser, string) error{
	"_count": (*parser).count, "_sort": (*parser).sort, "_elements": (*parser).elements,
	"_summary": (*parser).summary, "_total": (*parser).total,
	"_format": (*parser).format, "_pretty": (*parser).pretty,
}

func (p *parser) count(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || len(v) > 9 || v[0] == '+' {
		return errors.New("takes a number, 0 or more")
	}
	if p.o.MaxCount > 0 {
		n = min(n, p.o.MaxCount) // a server may return fewer (R4 search, 3.1.1.5.4)
	}
	p.query.Count = n
	return nil
}

const maxSortKeys = 8

func (p *parser) sort(v string) error {
	for key := range strings.SplitSeq(v, ",") {
		name, descending := strings.CutPrefix(key, "-")
		e := find(p.query.Type, name)
		if e == nil || e.Kind == Composite || !e.evaluated() {
			return fmt.Errorf("takes search parameters of %s, each with - before it to turn the order around", p.query.Type)
		}
		if slices.ContainsFunc(p.query.Sort, func(k SortKey) bool { return k.Name == name }) || len(p.query.Sort) == maxSortKeys {
			return errors.New("names a parameter twice, or too many")
		}
		p.query.Sort = append(p.query.Sort, SortKey{name, descending})
	}
	return nil
}

var elementForm = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,63}$`)

const maxElements = 128

func (p *parser) elements(v string) error {
	p.query.Elements = strings.Split(v, ",")
	for _, e := range p.query.Elements {
		if !elementForm.MatchString(e) {
			return errors.New("takes names of top-level elements")
		}
	}
	if len(p.query.Elements) > maxElements {
		return errors.New("names too many elements")
	}
	return nil
}

func (p *parser) summary(v string) error {
	if !slices.Contains([]string{"true", "false", "text", "data", "count"}, v) {
		return errors.New("takes true, false, text, data or count")
	}
	p.query.Summary = v
	return nil
}

func (p *parser) total(v string) error {
	if !slices.Contains([]string{"none", "estimate", "accurate"}, v) {
		return errors.New("takes none, estimate or accurate")
	}
	p.query.Total = v
	return nil
}

// format accepts the names of JSON and drops them: JSON is all there is
// (docs/pitfalls.md 17). A "+" that nobody escaped arrives as a blank.
func (p *parser) format(v string) error {
	media, _, _ := strings.Cut(v, ";")
	media = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(media)), " ", "+")
	if media != "json" && !fhir.IsJSON(media) {
		return errors.New("only JSON is supported (application/fhir+json)")
	}
	return nil
}

func (p *parser) pretty(v string) error {
	if v != "true" && v != "false" {
		return errors.New("takes true or false")
	}
	return nil
}
