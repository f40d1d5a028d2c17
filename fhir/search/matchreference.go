package search

import (
	"errors"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

var (
	errReference = errors.New("is not an id, Type/id or absolute URL")
	errVersion   = errors.New("names a version, which a search by reference cannot")
	errTarget    = errors.New("does not refer to resources of that type")
)

// target is a parsed reference value.
type target struct {
	typ, id  string // of this server; typ "" is any type
	absolute string // of another server, or a canonical URL
}

// parseTarget reads id, Type/id or an absolute URL (R4 search, 3.1.1.4.11). An
// absolute URL on this server is the same as Type/id.
func (m Matcher) parseTarget(v string, targets []string) (target, error) {
	s := unescape(v)
	if fhir.ValidID(s) {
		return target{id: s}, nil
	}
	ref := m.Base.Resolve(s)
	switch {
	case ref.Where == fhir.Local && ref.Version != "":
		return target{}, errVersion
	case ref.Where == fhir.Local && !slices.Contains(targets, ref.Type):
		return target{}, errTarget
	case ref.Where == fhir.Local:
		return target{typ: ref.Type, id: ref.ID}, nil
	case ref.Where == fhir.Foreign:
		return target{absolute: s}, nil
	}
	return target{}, errReference
}

func (m Matcher) referenceTest(targets []string, modifier, v string) (test, error) {
	if modifier == "identifier" {
		return identifierTest(v)
	}
	want, err := m.parseTarget(v, targets)
	if err != nil {
		return nil, err
	}
	switch {
	case modifier == "":
	case !IsResourceType(modifier):
		return nil, errModifier
	case !slices.Contains(targets, modifier):
		return nil, errTarget
	case want.id == "" || want.typ != "" && want.typ != modifier:
		return nil, errReference
	default:
		want.typ = modifier
	}
	canonical := unescape(v)
	hasVersion := strings.Contains(canonical, "|") // url|version
	return func(v value) (bool, error) {
		switch v.typ.name {
		case "Reference":
			return m.refersTo(v.node.Get("reference").Text(), want), nil
		case "canonical", "uri":
			s := v.node.Text()
			if !hasVersion {
				s, _, _ = strings.Cut(s, "|")
			}
			return s == canonical || m.refersTo(s, want), nil
		}
		return false, nil // Attachment: a choice that holds no reference
	}, nil
}

func (m Matcher) refersTo(reference string, want target) bool {
	if reference == "" {
		return false
	}
	if want.absolute != "" {
		return reference == want.absolute
	}
	ref := m.Base.Resolve(reference)
	return ref.Where == fhir.Local && ref.ID == want.id && (want.typ == "" || ref.Type == want.typ)
}

// identifierTest looks at Reference.identifier (:identifier, 3.1.1.4.4).
func identifierTest(v string) (test, error) {
	t, err := parseToken(v)
	if err != nil {
		return nil, err
	}
	return func(v value) (bool, error) {
		id := v.node.Get("identifier")
		return id.Exists() && t.matches(id.Get("system").Text(), id.Get("value").Text(), false), nil
	}, nil
}
