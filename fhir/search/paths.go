package search

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The expressions of search parameters are FHIRPath; what they use of it is a
// small and closed part, compiled here to steps over a JSON document:
//
//	Type.a.b            members, through arrays
//	.a[0]               one item
//	.a[x]               a choice element, whatever its type (tables mark them)
//	.a.as(T)            a choice element of type T; also ofType(T), (X.a as T)
//	.where(a='v')       items with a member of that value
//	.where(resolve() is T)
//	.extension('url')   the same as extension.where(url='url')
//	X.exists() and X != false   present and not false (Patient.deceased)
//	$this.a, %resource.a        in components of composites
//
// Anything else is an error when the tables are loaded.

type op uint8

const (
	member      op = iota // name
	choice                // name + one of types
	index                 // at
	whereEqual            // name = text
	whereTarget           // reference to a resource of type text
)

type step struct {
	op    op
	name  string
	text  string
	at    int
	types []dataType
	names []string // of a choice, one for each of types: valueQuantity, ...
}

func choiceStep(name string, types []dataType) step {
	s := step{op: choice, name: name, types: types}
	for _, t := range types {
		s.names = append(s.names, name+strings.ToUpper(t.name[:1])+t.name[1:])
	}
	return s
}

// dataType is the FHIR type of an element. systems are the code systems of its
// required binding, which a code carries implicitly.
type dataType struct {
	name    string
	systems []string
}

// path is one alternative of an expression.
type path struct {
	fromResource bool // starts at the resource even inside a component
	exists       bool // the value is whether there is one and it is not false
	steps        []step
	leaf         dataType // of what the steps end in; a final choice has its own
}

func compileAll(expression, types string) ([]path, error) {
	alternatives, leaves := strings.Split(expression, " | "), strings.Split(types, " | ")
	if len(alternatives) != len(leaves) {
		return nil, errors.New("not one data type for each alternative")
	}
	var out []path
	for i, a := range alternatives {
		p, err := compile(a, parseTypes(leaves[i]))
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// parseTypes reads "code(system system),boolean(system)".
func parseTypes(list string) []dataType {
	var out []dataType
	for one := range strings.SplitSeq(list, ",") {
		name, systems, coded := strings.Cut(strings.TrimSuffix(one, ")"), "(")
		t := dataType{name: name}
		if coded {
			t.systems = strings.Fields(systems)
		}
		out = append(out, t)
	}
	return out
}

var (
	infixCast  = regexp.MustCompile(`^\(([\w.\[\]]+) as (\w+)\)((?:\.\w+)*)$`)
	existsForm = regexp.MustCompile(`^(\w+(?:\.\w+)*)\.exists\(\) and (\w+(?:\.\w+)*) != false$`)
	plainStep  = regexp.MustCompile(`^([a-zA-Z]\w*)(\[x\]|\[(\d)\])?$`)
	callStep   = regexp.MustCompile(`^(as|ofType|where|extension)\((.*)\)$`)
	equality   = regexp.MustCompile(`^(\w+) ?= ?'([^']*)'$`)
	isType     = regexp.MustCompile(`^resolve\(\) is (\w+)$`)
	headForm   = regexp.MustCompile(`^([A-Z]\w*|\$this|%resource)$`)
)

func compile(expression string, leaf []dataType) (path, error) {
	if m := existsForm.FindStringSubmatch(expression); m != nil && m[1] == m[2] {
		// The only such element is Patient.deceased[x] (R4, Patient).
		p, err := compile(m[1]+"[x]", []dataType{{name: "boolean"}, {name: "dateTime"}})
		p.exists = true
		p.leaf = leaf[0]
		return p, err
	}
	if m := infixCast.FindStringSubmatch(expression); m != nil {
		expression = m[1] + ".as(" + m[2] + ")" + m[3]
	}
	parts := splitSteps(expression)
	if !headForm.MatchString(parts[0]) {
		return path{}, fmt.Errorf("expression %q does not start with a type", expression)
	}
	p := path{fromResource: parts[0] == "%resource", leaf: leaf[0]}
	for _, part := range parts[1:] {
		if err := p.add(part, leaf); err != nil {
			return path{}, fmt.Errorf("expression %q: %w", expression, err)
		}
	}
	for i, s := range p.steps {
		if s.op == choice && len(s.types) > 1 && i < len(p.steps)-1 {
			return path{}, fmt.Errorf("expression %q goes through an element of several types", expression)
		}
	}
	return p, nil
}

// splitSteps cuts at the dots outside brackets and quotes.
func splitSteps(expression string) []string {
	var out []string
	depth, start, quoted := 0, 0, false
	for i, c := range expression {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '.' && depth == 0:
			out = append(out, expression[start:i])
			start = i + 1
		}
	}
	return append(out, expression[start:])
}

func (p *path) add(part string, leaf []dataType) error {
	if m := plainStep.FindStringSubmatch(part); m != nil {
		if m[2] == "[x]" {
			p.steps = append(p.steps, choiceStep(m[1], leaf))
			return nil
		}
		p.steps = append(p.steps, step{op: member, name: m[1]})
		if m[3] != "" {
			p.steps = append(p.steps, step{op: index, at: int(m[3][0] - '0')})
		}
		return nil
	}
	m := callStep.FindStringSubmatch(part)
	if m == nil {
		return fmt.Errorf("%q is not supported", part)
	}
	return p.call(m[1], m[2], leaf)
}

func (p *path) call(name, argument string, leaf []dataType) error {
	last := len(p.steps) - 1
	switch name {
	case "as", "ofType":
		if last < 0 || p.steps[last].op != member {
			return errors.New("a cast must follow an element")
		}
		t := dataType{name: argument}
		if i := slices.IndexFunc(leaf, func(l dataType) bool { return l.name == argument }); i >= 0 {
			t = leaf[i]
		}
		p.steps[last] = choiceStep(p.steps[last].name, []dataType{t})
		return nil
	case "extension":
		url := strings.Trim(argument, "'")
		p.steps = append(p.steps, step{op: member, name: "extension"}, step{op: whereEqual, name: "url", text: url})
		return nil
	}
	if m := equality.FindStringSubmatch(argument); m != nil {
		p.steps = append(p.steps, step{op: whereEqual, name: m[1], text: m[2]})
		return nil
	}
	if m := isType.FindStringSubmatch(argument); m != nil {
		p.steps = append(p.steps, step{op: whereTarget, text: m[1]})
		return nil
	}
	return fmt.Errorf("where(%s) is not supported", argument)
}
