package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// table gathers the rows of one output file.
type table struct {
	model       *model
	compartment map[string][]string
	definitions []searchParameter
	rows        []string
	seen        map[string]bool
	err         error
}

// has says whether every base type of p has a parameter of that name.
func (t *table) has(p searchParameter) bool {
	for _, base := range p.Base {
		if !t.seen[base+"\t"+p.Code] && !t.seen["Resource\t"+p.Code] {
			return false
		}
	}
	return true
}

func (t *table) add(p searchParameter) {
	if p.Expression == "" {
		return // _text, _content, _query
	}
	for _, base := range p.Base {
		if err := t.addFor(base, p); err != nil {
			t.err = errors.Join(t.err, fmt.Errorf("%s of %s: %w", p.Code, base, err))
		}
	}
}

func (t *table) addFor(base string, p searchParameter) error {
	var expressions, types []string
	for alternative := range strings.SplitSeq(p.Expression, "|") {
		alternative = strings.TrimSpace(alternative)
		if head := strings.TrimLeft(alternative, "("); head != base && !strings.HasPrefix(head, base+".") {
			continue
		}
		expression, found, err := t.resolve([]string{base}, alternative)
		if err != nil {
			return err
		}
		expressions, types = append(expressions, expression), append(types, strings.Join(found, ","))
	}
	if len(expressions) == 0 {
		return errors.New("no alternative for this type")
	}
	components, err := t.components(base, expressions[0], p)
	if err != nil {
		return err
	}
	flag := ""
	if p.Type == "reference" && (p.Code == "patient" || slices.Contains(t.compartment[base], p.Code)) {
		flag = "c"
	}
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	t.seen[base+"\t"+p.Code] = true
	t.rows = append(t.rows, strings.Join([]string{base, p.Code, p.Type, flag, targets(p.Target),
		strings.Join(expressions, " | "), strings.Join(types, " | "), components}, "\t"))
	return nil
}

func targets(list []string) string {
	if len(list) > 100 {
		return "*"
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(list, ",")
}

// components resolves the parts of a composite below its own expression.
func (t *table) components(base, expression string, p searchParameter) (string, error) {
	var out []string
	for _, c := range p.Component {
		i := slices.IndexFunc(t.definitions, func(d searchParameter) bool { return d.URL == c.Definition })
		if i < 0 {
			return "", fmt.Errorf("component %s is not defined", c.Definition)
		}
		var expressions, types []string
		for alternative := range strings.SplitSeq(c.Expression, "|") {
			alternative = strings.TrimSpace(alternative)
			places, err := t.elementPlaces(base, expression)
			if err != nil {
				return "", err
			}
			relative := "$this." + alternative
			if rest, ok := strings.CutPrefix(alternative, "%resource."); ok {
				places, relative = []string{base}, "%resource."+rest
			}
			resolved, found, err := t.resolve(places, relative)
			if err != nil {
				return "", err
			}
			expressions, types = append(expressions, resolved), append(types, strings.Join(found, ","))
		}
		out = append(out, t.definitions[i].Type+"^"+strings.Join(expressions, " | ")+"^"+strings.Join(types, " | "))
	}
	return strings.Join(out, "; "), nil
}

// elementPlaces gives where the children of a plain path are defined.
func (t *table) elementPlaces(base, path string) ([]string, error) {
	places := []string{base}
	for _, name := range strings.Split(path, ".")[1:] {
		e, _, ok := t.model.child(places, name)
		if !ok {
			return nil, fmt.Errorf("%s: no element %s", path, name)
		}
		places = t.model.places(e)
	}
	return places, nil
}

var (
	infixCast = regexp.MustCompile(`^\((\S+) as (\w+)\)(.*)$`)
	part      = regexp.MustCompile(`^\.?(where\([^()]*(?:\(\))?[^()]*\)|(?:as|ofType|extension)\([^()]*\)|exists\(\)|\w+(?:\[\d+\])?)`)
)

// resolve walks one alternative through the profiles: it gives the expression
// with every choice element without a cast marked [x], and the data types it
// ends in.
func (t *table) resolve(places []string, alternative string) (string, []string, error) {
	original := alternative
	if strings.Contains(alternative, " and ") { // Patient.deceased, the only one
		return original, []string{"boolean(http://terminology.hl7.org/CodeSystem/special-values)"}, nil
	}
	if m := infixCast.FindStringSubmatch(alternative); m != nil {
		alternative = m[1] + ".as(" + m[2] + ")" + m[3]
	}
	head, rest, _ := strings.Cut(alternative, ".")
	out, types := head, []string{head}
	choice := false
	mark := func() {
		if choice {
			out += "[x]"
		}
		choice = false
	}
	for rest != "" {
		m := part.FindStringSubmatch(rest)
		if m == nil {
			return "", nil, fmt.Errorf("%s: cannot read %q", original, rest)
		}
		rest = rest[len(m[0]):]
		step := m[1]
		switch {
		case strings.HasPrefix(step, "as(") || strings.HasPrefix(step, "ofType("):
			name := castType(types, step[strings.Index(step, "(")+1:len(step)-1])
			places, types, choice = []string{name}, []string{name}, false
			out += ".as(" + name + ")"
		case strings.HasPrefix(step, "where("):
			mark()
			out += "." + step
		default:
			mark()
			name, _, _ := strings.Cut(step, "[")
			e, isChoice, ok := t.model.child(places, name)
			if !ok {
				return "", nil, fmt.Errorf("%s: no element %s below %v", original, name, places)
			}
			places, types, choice = t.model.places(e), t.model.dataTypes(e), isChoice
			out += "." + step
		}
	}
	mark()
	if len(types) == 1 && strings.HasPrefix(types[0], "boolean") {
		types = []string{"boolean(http://terminology.hl7.org/CodeSystem/special-values)"}
	}
	return out, types, nil
}

// castType spells a cast as the element's own type does: R4 writes DateTime in
// one place.
func castType(types []string, name string) string {
	for _, t := range types {
		bare, _, _ := strings.Cut(t, "(")
		if strings.EqualFold(bare, name) {
			return bare
		}
	}
	return name
}
