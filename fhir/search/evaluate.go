package search

import (
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// value is an element a parameter looks at, with its FHIR type.
type value struct {
	root   fhir.Node // the resource it is part of
	node   fhir.Node
	typ    dataType
	exists bool // the value is that it is there and not false
}

// each visits what the paths reach from this, a part of the resource root. It
// stops, and gives false, when visit does.
func each(paths []path, root, this fhir.Node, visit func(value) bool) bool {
	for i := range paths {
		p := &paths[i]
		from := this
		if p.fromResource {
			from = root
		}
		if !walk(root, from, p.steps, p.leaf, func(v value) bool {
			v.exists = p.exists
			return visit(v)
		}) {
			return false
		}
	}
	return true
}

func walk(root, n fhir.Node, steps []step, typ dataType, visit func(value) bool) bool {
	if len(steps) == 0 {
		if isNull(n) { // [null, "x"] beside an array of extensions
			return true
		}
		return visit(value{root: root, node: n, typ: typ})
	}
	s, rest := &steps[0], steps[1:]
	switch s.op {
	case whereEqual:
		return n.Get(s.name).Text() != s.text || walk(root, n, rest, typ, visit)
	case whereTarget:
		return targetType(root, n) != s.text || walk(root, n, rest, typ, visit)
	case choice:
		for i, name := range s.names {
			leaf := s.types[i]
			if len(rest) > 0 {
				leaf = typ
			}
			if !walkItems(root, n.Get(name), rest, leaf, visit) {
				return false
			}
		}
		return true
	}
	next := n.Get(s.name)
	if len(rest) > 0 && rest[0].op == index {
		at := 0
		for item := range next.Items() {
			if at == rest[0].at {
				return walk(root, item, rest[1:], typ, visit)
			}
			at++
		}
		return true
	}
	return walkItems(root, next, rest, typ, visit)
}

func walkItems(root, n fhir.Node, rest []step, typ dataType, visit func(value) bool) bool {
	for item := range n.Items() {
		if !walk(root, item, rest, typ, visit) {
			return false
		}
	}
	return true
}

func isNull(n fhir.Node) bool { return string(n.Raw()) == "null" }

// targetType gives the resource type a Reference points to as far as the
// resource itself tells: from the contained resource, from the URL, else from
// Reference.type. "" means that it does not tell. Whether the target is on this
// server is not asked here.
func targetType(root, reference fhir.Node) string {
	url := reference.Get("reference").Text()
	if id, ok := strings.CutPrefix(url, "#"); ok {
		for c := range root.Get("contained").Items() {
			if id != "" && c.Get("id").Text() == id {
				return c.Get("resourceType").Text()
			}
		}
		return ""
	}
	parts := strings.Split(url, "/")
	if n := len(parts); n >= 4 && parts[n-2] == "_history" {
		parts = parts[:n-2]
	}
	if n := len(parts); n >= 2 && IsResourceType(parts[n-2]) && fhir.ValidID(parts[n-1]) {
		return parts[n-2]
	}
	typ := reference.Get("type").Text()
	return strings.TrimPrefix(typ, "http://hl7.org/fhir/StructureDefinition/")
}
