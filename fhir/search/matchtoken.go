package search

import (
	"errors"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// token is a parsed [system]|[code] (R4 search, 3.1.1.4.10).
type token struct {
	system, code       string
	anySystem, anyCode bool
}

var errToken = errors.New("is not system|code, |code, system| or code")

func parseToken(v string) (token, error) {
	parts := split(v, '|')
	for i := range parts {
		parts[i] = unescape(parts[i])
	}
	switch {
	case len(parts) == 1:
		return token{code: parts[0], anySystem: true}, nil
	case len(parts) == 2 && parts[1] != "":
		return token{system: parts[0], code: parts[1]}, nil
	case len(parts) == 2 && parts[0] != "":
		return token{system: parts[0], anyCode: true}, nil
	}
	return token{}, errToken
}

// matches compares with a system and code of a resource. fold ignores case: R4
// asks servers to when in doubt, since a code system's rule is seldom known.
// Identifiers and ids are never in doubt: they name somebody.
func (t token) matches(system, code string, fold bool) bool {
	if !t.anySystem && t.system != system {
		return false
	}
	if t.anyCode {
		return true
	}
	return code != "" && (code == t.code || fold && strings.EqualFold(code, t.code))
}

func tokenTest(modifier, v string) (test, error) {
	switch modifier {
	case "", "not":
		t, err := parseToken(v)
		if err != nil {
			return nil, err
		}
		return t.match, nil
	case "text":
		return textTest(v), nil
	case "of-type":
		return ofTypeTest(v)
	}
	return nil, errModifier // :above, :below, :in, :not-in need terminology
}

var errImplicit = errors.New("is a code whose system is not known")

func (t token) match(v value) (bool, error) {
	if v.exists {
		there := "false"
		if v.node.Exists() && v.node.Text() != "false" {
			there = "true"
		}
		return t.implicit(v.typ, there)
	}
	switch v.typ.name {
	case "CodeableConcept":
		for c := range v.node.Get("coding").Items() {
			if t.coding(c) {
				return true, nil
			}
		}
		return false, nil
	case "Coding":
		return t.coding(v.node), nil
	case "Identifier":
		return t.matches(v.node.Get("system").Text(), v.node.Get("value").Text(), false), nil
	case "ContactPoint":
		return t.matches(v.node.Get("system").Text(), v.node.Get("value").Text(), true), nil
	case "code", "boolean":
		return t.implicit(v.typ, v.node.Text())
	case "string", "id", "uri", "canonical":
		return t.matches("", v.node.Text(), false), nil
	}
	return false, nil // Quantity, Range, Reference: choices that hold no token
}

func (t token) coding(c fhir.Node) bool {
	return t.matches(c.Get("system").Text(), c.Get("code").Text(), true)
}

// implicit compares a code that carries its system in the binding only.
func (t token) implicit(typ dataType, code string) (bool, error) {
	if t.anySystem || t.system == "" {
		return token{code: t.code, anySystem: true}.matches("", code, true), nil
	}
	known := slices.Contains(typ.systems, t.system)
	switch {
	case len(typ.systems) == 0, known && len(typ.systems) > 1:
		return false, errImplicit
	case !known:
		return false, nil
	}
	return t.anyCode && code != "" || strings.EqualFold(code, t.code), nil
}

// textTest looks at what a code is called (:text, R4 search, 3.1.1.4.4).
func textTest(v string) test {
	want := foldText(unescape(v))
	begins := func(n fhir.Node) bool { return n.Exists() && strings.HasPrefix(foldText(n.Text()), want) }
	return func(v value) (bool, error) {
		switch v.typ.name {
		case "CodeableConcept":
			if begins(v.node.Get("text")) {
				return true, nil
			}
			for c := range v.node.At("coding", "display") {
				if begins(c) {
					return true, nil
				}
			}
		case "Coding":
			return begins(v.node.Get("display")), nil
		case "Identifier":
			return begins(v.node.Get("type").Get("text")), nil
		case "string":
			return begins(v.node), nil
		}
		return false, nil
	}
}

var errOfType = errors.New("is not system|code|value")

// ofTypeTest finds identifiers by the code of their type: system|code|value.
func ofTypeTest(v string) (test, error) {
	parts := split(v, '|')
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil, errOfType
	}
	typ := token{system: unescape(parts[0]), code: unescape(parts[1])}
	want := unescape(parts[2])
	return func(v value) (bool, error) {
		if v.typ.name != "Identifier" || v.node.Get("value").Text() != want {
			return false, nil
		}
		for c := range v.node.At("type", "coding") {
			if typ.coding(c) {
				return true, nil
			}
		}
		return false, nil
	}, nil
}
