package patch

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/fhir"
)

// Set gives a document, which must be a JSON object, with a member added or its
// value replaced.
func Set(document []byte, name string, value []byte) ([]byte, error) {
	root, err := fhir.ParseNode(document)
	if err != nil || !root.IsObject() {
		return nil, unfit("is for a document that is no JSON object")
	}
	return splice(document, put(root, name, value)), nil
}

// Drop gives a document, which must be a JSON object, without a member. One that
// is not there is no error.
func Drop(document []byte, name string) ([]byte, error) {
	root, err := fhir.ParseNode(document)
	if err != nil || !root.IsObject() {
		return nil, unfit("is for a document that is no JSON object")
	}
	at := root.Get(name)
	if !at.Exists() {
		return document, nil
	}
	return splice(document, without(root, at)), nil
}

func splice(document []byte, e fhir.Edit) []byte {
	return fhir.Splice(document, 0, len(document), []fhir.Edit{e})
}

func overwrite(at fhir.Node, value []byte) fhir.Edit {
	start, end := at.Span()
	return fhir.Edit{Start: start, End: end, With: value}
}

// put sets a member of an object; a new one comes last.
func put(object fhir.Node, name string, value []byte) fhir.Edit {
	if at := object.Get(name); at.Exists() {
		return overwrite(at, value)
	}
	member, err := jsontext.AppendQuote(nil, name)
	if err != nil { // cannot happen: names come from valid JSON
		member = []byte(`""`)
	}
	member = append(append(member, ':'), value...)
	return behind(object, slices.Collect(object.Children()), member)
}

// behind puts something after the last of the children.
func behind(holder fhir.Node, children []fhir.Node, what []byte) fhir.Edit {
	if len(children) == 0 {
		_, end := holder.Span()
		return fhir.Edit{Start: end - 1, End: end - 1, With: what}
	}
	_, end := children[len(children)-1].Span()
	return fhir.Edit{Start: end, End: end, With: append([]byte{','}, what...)}
}

// without takes a child away, with the comma that parts it from a neighbour.
func without(holder, child fhir.Node) fhir.Edit {
	children := slices.Collect(holder.Children())
	i := slices.Index(children, child)
	start, end := child.Member()
	switch {
	case i+1 < len(children):
		end, _ = children[i+1].Member()
	case i > 0:
		_, start = children[i-1].Span()
	}
	return fhir.Edit{Start: start, End: end}
}
