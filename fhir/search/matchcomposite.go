package search

import "errors"

var errComposite = errors.New("does not have one value for each component, joined by $")

// compositeTest reads a$b: both must hold of the same element (R4 search,
// 3.1.1.4.14).
func (m Matcher) compositeTest(e *entry, modifier, v string) (test, error) {
	parts := split(v, '$')
	switch {
	case modifier != "":
		return nil, errModifier
	case len(parts) != len(e.components):
		return nil, errComposite
	}
	tests := make([]test, len(parts))
	for i, c := range e.components {
		if parts[i] == "" {
			return nil, errEmpty
		}
		var err error
		if tests[i], err = m.plainTest(c.kind, ResourceTypes(), "", parts[i]); err != nil {
			return nil, err
		}
	}
	return func(v value) (bool, error) {
		for i, c := range e.components {
			ok, err := c.holds(v, tests[i])
			if !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}, nil
}

// holds asks the parts of one element that a component looks at.
func (c component) holds(parent value, t test) (bool, error) {
	found := false
	var undecided error
	each(c.paths, parent.root, parent.node, func(v value) bool {
		ok, err := t(v)
		found = ok && err == nil
		if err != nil {
			undecided = err
		}
		return !found
	})
	if found {
		return true, nil
	}
	return false, undecided
}
