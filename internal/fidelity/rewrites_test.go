package fidelity_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir/compartment"
)

// masked is what stands in place of a reference to another patient. The
// references themselves are found by a reader of this test's own, on
// encoding/json, so that a mistake of the product's reader shows.
const masked = `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}`

// rewritten gives the bytes that a resource has to have when it leaves for a
// patient, and the paths of what was changed. Examples hold no URL of this
// run's upstream, so masking is the only rewrite that can apply to them.
func rewritten(t *testing.T, i *item, patient string) (want []byte, changed []string) {
	t.Helper()
	raw := bytes.TrimSpace(i.raw)
	dec := json.NewDecoder(bytes.NewReader(raw))
	root := readValue(t, dec, i.Type)
	rule := compartment.Of(i.Type)
	shared := rule.Class == compartment.Shared
	seats := map[string]bool{} // where patients stand in a shared type
	if shared {
		for _, path := range slices.Concat(rule.Owners, rule.Participants) {
			seats[i.Type+"."+path] = true
		}
	}
	var cuts []value
	root.walk(func(v value) bool {
		if !v.namesStranger(patient, shared) && !(seats[v.path] && v.isUnnamed()) {
			return true
		}
		cuts = append(cuts, v)
		return false // what lies inside is gone with it
	})
	if shared && len(cuts) > 0 {
		// What tells of them indirectly goes with them.
		root.walk(func(v value) bool {
			to, _, _ := strings.Cut(v.members["reference"].text, "/")
			somebodys := v.isObject && to != "" && to != "Patient" && to[0] != '#' && compartment.Of(to).Class != compartment.Directory
			if somebodys || v.path == i.Type+".text" {
				cuts = append(cuts, v)
			}
			return !somebodys
		})
		slices.SortFunc(cuts, func(a, b value) int { return a.start - b.start })
	}
	at := 0
	for _, c := range cuts {
		with := masked
		if c.path == i.Type+".text" {
			with = maskedText
		}
		want = append(append(want, raw[at:c.start]...), with...)
		at = c.end
		changed = append(changed, c.path)
	}
	return append(want, raw[at:]...), changed
}

// maskedText is what stands in place of the narrative beside somebody masked.
const maskedText = `{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">Not shown: this text may name other people.</div>"}`

// isUnnamed says whether a Reference names nobody by reference or type.
func (v value) isUnnamed() bool {
	return v.isObject && !v.members["reference"].isString && !v.members["type"].isString
}

// value is a JSON value with its place in the bytes.
type value struct {
	path       string
	start, end int
	text       string // of a string
	isString   bool
	isObject   bool
	members    map[string]value
	children   []value // members or items, in order
}

func readValue(t *testing.T, dec *json.Decoder, path string) value {
	t.Helper()
	token, err := dec.Token()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	v := value{path: path, end: int(dec.InputOffset())}
	switch token := token.(type) {
	case string:
		v.text, v.isString = token, true
	case json.Delim:
		v.start = v.end - 1
		v.isObject, v.members = token == '{', map[string]value{}
		for dec.More() {
			name := path
			if v.isObject {
				key, err := dec.Token()
				text, ok := key.(string)
				if err != nil || !ok {
					t.Fatalf("%s: %v", path, err)
				}
				name = path + "." + text
			}
			child := readValue(t, dec, name)
			v.members[name[strings.LastIndexByte(name, '.')+1:]] = child
			v.children = append(v.children, child)
		}
		if _, err := dec.Token(); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		v.end = int(dec.InputOffset())
	}
	return v
}

func (v value) walk(visit func(value) bool) {
	if !visit(v) {
		return
	}
	for _, c := range v.children {
		c.walk(visit)
	}
}

// isLogical says whether a value is a Reference by its identifier.
func (v value) isLogical() bool {
	for name := range v.members {
		if !slices.Contains([]string{"id", "extension", "type", "identifier", "display"}, strings.TrimPrefix(name, "_")) {
			return false
		}
	}
	return v.members["identifier"].isObject
}

// namesStranger says whether a value is a Reference that names another patient
// or, in a type that several patients share, may name one.
func (v value) namesStranger(patient string, shared bool) bool {
	if !v.isObject {
		return false
	}
	literal, there := v.members["reference"]
	if !there || !literal.isString {
		typ := v.members["type"]
		return typ.isString && typ.text == "Patient" && (v.members["identifier"].isObject || v.members["display"].isString) ||
			shared && v.isUnnamed() && v.isLogical()
	}
	parts := strings.Split(literal.text, "/")
	switch {
	case strings.HasPrefix(literal.text, "#"):
		return false
	case len(parts) == 2 || len(parts) == 4 && parts[2] == "_history":
		return parts[0] == "Patient" && parts[1] != patient
	case strings.Contains(literal.text, "://"):
		return shared || slices.Contains(parts, "Patient")
	}
	return shared || strings.Contains(literal.text, "Patient")
}
