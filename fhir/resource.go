// Package fhir owns the vocabulary of FHIR R4 as Portico needs it: a Resource
// that keeps its original bytes, the references inside it, and the splices that
// change listed places without touching the rest. It does no I/O, speaks no
// HTTP and does not know who is asking.
package fhir

import (
	"errors"
)

// Resource is one FHIR resource as the bytes that arrived. It is never decoded
// into structs and encoded again: that loses primitive extensions, contained
// resources and the exact form of decimals.
type Resource struct {
	root Node
	typ  string
	id   string
}

// ParseResource reads one resource and keeps raw, which the caller must not
// change afterwards. It refuses what two readers could understand differently:
// duplicate names, bad UTF-8, a resourceType that is missing or no known shape.
// A missing id is allowed (contained resources, OperationOutcome).
// Errors hold a byte position at most, never content.
func ParseResource(raw []byte) (*Resource, error) {
	root, err := ParseNode(raw)
	if err != nil {
		return nil, err
	}
	return resourceAt(root)
}

// resourceAt takes a value inside a parsed document as a resource.
func resourceAt(root Node) (*Resource, error) {
	if !root.IsObject() {
		return nil, errors.New("fhir: a resource must be a JSON object")
	}
	typ := root.Get("resourceType")
	if !typ.IsString() || !validType(typ.Text()) {
		return nil, errors.New("fhir: resourceType is missing or malformed")
	}
	id := root.Get("id")
	if id.Exists() && (!id.IsString() || !ValidID(id.Text())) {
		return nil, errors.New("fhir: the resource has a malformed id")
	}
	return &Resource{root: root, typ: typ.Text(), id: id.Text()}, nil
}

// validType says whether s has the form of a resource type's name.
func validType(s string) bool {
	if len(s) < 2 || len(s) > 64 || s[0] < 'A' || s[0] > 'Z' {
		return false
	}
	for i := range len(s) {
		if !isLetter(s[i]) {
			return false
		}
	}
	return true
}

// ValidID says whether s has the form of a FHIR id (R4 datatypes, "id"). "." and
// ".." have it too but mean something else in a URL, so they are none.
func ValidID(s string) bool {
	if s == "" || len(s) > 64 || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// Bytes gives the resource as it came; read only.
func (r *Resource) Bytes() []byte { return r.root.Raw() }

// Root gives the parsed document.
func (r *Resource) Root() Node { return r.root }

// Type gives the resourceType.
func (r *Resource) Type() string { return r.typ }

// ID gives the logical id, "" when there is none.
func (r *Resource) ID() string { return r.id }

// VersionID gives meta.versionId, "" when there is none.
func (r *Resource) VersionID() string { return r.root.Get("meta").Get("versionId").Text() }

// LastUpdated gives meta.lastUpdated as it stands, "" when there is none.
func (r *Resource) LastUpdated() string { return r.root.Get("meta").Get("lastUpdated").Text() }

// Splice gives the bytes of the resource with the edits applied; their offsets
// are those of Node.Span.
func (r *Resource) Splice(edits []Edit) []byte {
	start, end := r.root.Span()
	return Splice(r.root.doc.raw, start, end, edits)
}

// Replacing gives the resource with the same value in place of each of the
// places.
func (r *Resource) Replacing(places []Node, with string) (*Resource, error) {
	if len(places) == 0 {
		return r, nil
	}
	edits := make([]Edit, 0, len(places))
	for _, place := range places {
		start, end := place.Span()
		edits = append(edits, Edit{Start: start, End: end, With: []byte(with)})
	}
	return ParseResource(r.Splice(edits))
}

// Outermost gives the values inside the resource that are looked for, in order,
// but none that stands inside of another one.
func (r *Resource) Outermost(is func(Node) bool) (found []Node) {
	inside := 0 // end of the last one
	r.root.Descend(func(n Node) {
		if start, end := n.Span(); start >= inside && is(n) {
			found, inside = append(found, n), end
		}
	})
	return found
}
