// Package subset owns which elements of a resource stay under _elements and
// _summary (R4 search, sections 3.1.1.5.8 and 3.1.1.5.9), and the splices that
// take the others out. What stays keeps its bytes and its order. It does no I/O
// and must not know who is asking: whoever decides what may leave looks at the
// whole resource first.
package subset

import (
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// View says how much of a resource is wanted; the zero View is all of it.
type View struct {
	Elements []string // _elements: names of top-level elements
	Summary  string   // _summary: "", true, false, text or data; count is not about resources
}

// Whole says whether nothing is taken out.
func (v View) Whole() bool {
	return len(v.Elements) == 0 && (v.Summary == "" || v.Summary == "false")
}

// everywhere are the elements that stay in every View: what names the resource,
// and what could change the meaning of the rest.
var everywhere = []string{"resourceType", "id", "meta", "implicitRules", "modifierExtension"}

// Edits gives the splices that leave what is wanted of r. A resource of which
// something is taken out is tagged as SUBSETTED.
func (v View) Edits(r *fhir.Resource) []fhir.Edit {
	if v.Whole() {
		return nil
	}
	edits := v.cut(r.Root(), "", find(r.Type()))
	if len(edits) == 0 {
		return nil
	}
	// First, since it may begin where something is taken out.
	return append(tag(r.Root()), edits...)
}

// cut takes members out of an object: path is "" for the resource itself.
func (v View) cut(object fhir.Node, path string, t *table) []fhir.Edit {
	var members []fhir.Node
	var out []bool // whether each of them goes
	kept := 0
	for m := range object.Children() {
		goes := !v.stays(path, strings.TrimPrefix(m.Name(), "_"), t)
		if members, out = append(members, m), append(out, goes); !goes {
			kept++
		}
	}
	if path != "" && kept == 0 {
		return nil // an empty object is no valid FHIR
	}
	var edits []fhir.Edit
	before := -1 // the end of what stands before, once something stays
	for i, m := range members {
		start, end := m.Member()
		switch {
		case !out[i]:
			before = end
			edits = append(edits, v.inside(m, path, t)...)
		case before >= 0: // with the comma before it
			edits = append(edits, fhir.Edit{Start: before, End: end})
			before = end
		default: // with the comma after it
			following, _ := members[i+1].Member()
			edits = append(edits, fhir.Edit{Start: start, End: following})
		}
	}
	return edits
}

// inside goes on below an element of the summary whose parts are not all of it.
func (v View) inside(m fhir.Node, path string, t *table) []fhir.Edit {
	path = join(path, m.Name())
	if v.Summary != "true" || !t.parents[path] {
		return nil
	}
	var edits []fhir.Edit
	for item := range m.Items() {
		if item.IsObject() {
			edits = append(edits, v.cut(item, path, t)...)
		}
	}
	return edits
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// stays says whether the member of that name, below path, is wanted.
func (v View) stays(path, name string, t *table) bool {
	if path != "" {
		return name == "id" || name == "extension" || name == "modifierExtension" || t.summary[join(path, name)]
	}
	if slices.Contains(everywhere, name) {
		return true
	}
	switch v.Summary {
	case "data":
		return name != "text"
	case "text":
		return name == "text" || t.always[name]
	case "true":
		return t.always[name] || t.summary[name]
	}
	if t.always[name] || slices.Contains(v.Elements, name) {
		return true
	}
	base, choice := t.choices[name]
	return choice && slices.Contains(v.Elements, base)
}
