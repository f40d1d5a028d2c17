// Package patch applies JSON Patch (RFC 6902) to the bytes of a JSON document.
// What no operation names keeps its bytes: order, whitespace and the digits of
// decimals stay as they were. It knows no FHIR beyond the reader of documents
// and decides nothing about what may be changed.
package patch

import (
	"errors"
	"fmt"

	"github.com/portico-fhir/portico/fhir"
)

// Error says why a patch was not applied. Its text holds nothing of the
// document or of the patch.
type Error struct {
	// Malformed: the patch itself is wrong; otherwise it does not fit the
	// document, for example because a test failed (RFC 6902 §5).
	Malformed bool
	// Operation is the number of the operation, from 1; 0 for the whole patch.
	Operation int
	Reason    string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Operation == 0 {
		return "the patch " + e.Reason
	}
	return fmt.Sprintf("operation %d of the patch %s", e.Operation, e.Reason)
}

func malformed(reason string) error { return &Error{Malformed: true, Reason: reason} }
func unfit(reason string) error     { return &Error{Reason: reason} }

// Limits bound what a patch may cost; both must be set.
type Limits struct {
	Operations int // most operations
	Bytes      int // of the document after each operation
}

// Apply gives the document with the operations applied in order: all of them or
// none (RFC 6902 §5). Neither argument is changed.
func Apply(document, patch []byte, limits Limits) ([]byte, error) {
	operations, err := read(patch, limits.Operations)
	if err != nil {
		return nil, err
	}
	for i, o := range operations {
		document, err = o.apply(document)
		if err == nil && len(document) > limits.Bytes {
			err = unfit("makes the document too large")
		}
		if err != nil {
			var e *Error
			if errors.As(err, &e) {
				e.Operation = i + 1
			}
			return nil, err
		}
	}
	return document, nil
}

// operation is one step; its pointers are parsed.
type operation struct {
	op         string
	path, from pointer
	value      fhir.Node
}

func read(patch []byte, most int) ([]operation, error) {
	root, err := fhir.ParseNode(patch)
	if err != nil || !root.IsArray() {
		return nil, malformed("is not an array of operations in well-formed JSON")
	}
	var out []operation
	for n := range root.Children() {
		if len(out) == most {
			return nil, malformed("has too many operations")
		}
		o, err := readOperation(n)
		if err != nil {
			var e *Error
			if errors.As(err, &e) {
				e.Operation = len(out) + 1
			}
			return nil, err
		}
		out = append(out, o)
	}
	if len(out) == 0 {
		return nil, malformed("has no operations")
	}
	return out, nil
}

// readOperation follows RFC 6902 §4; members it does not define are ignored.
func readOperation(n fhir.Node) (operation, error) {
	if !n.IsObject() || !n.Get("op").IsString() || !n.Get("path").IsString() {
		return operation{}, malformed("must be an object with op and path")
	}
	o := operation{op: n.Get("op").Text(), value: n.Get("value")}
	var err error
	if o.path, err = parsePointer(n.Get("path").Text()); err != nil {
		return o, err
	}
	switch o.op {
	case "add", "replace", "test":
		if !o.value.Exists() {
			return o, malformed("has no value")
		}
	case "remove":
	case "move", "copy":
		if !n.Get("from").IsString() {
			return o, malformed("has no from")
		}
		if o.from, err = parsePointer(n.Get("from").Text()); err != nil {
			return o, err
		}
		if o.op == "move" && o.from.above(o.path) {
			return o, malformed("moves a value into itself")
		}
	default:
		return o, malformed("has an op that RFC 6902 does not know")
	}
	return o, nil
}

func (o operation) apply(document []byte) ([]byte, error) {
	root, err := fhir.ParseNode(document)
	if err != nil {
		return nil, unfit("is for a document that is not well-formed JSON")
	}
	switch o.op {
	case "add":
		return add(document, root, o.path, o.value.Raw())
	case "remove":
		return remove(document, root, o.path)
	case "replace":
		at, err := find(root, o.path)
		if err != nil {
			return nil, err
		}
		return splice(document, overwrite(at, o.value.Raw())), nil
	case "test":
		at, err := find(root, o.path)
		if err != nil {
			return nil, err
		}
		if !equal(at, o.value) {
			return nil, unfit("tests for a value that is not there")
		}
		return document, nil
	}
	return o.carry(document, root)
}

// carry does move and copy.
func (o operation) carry(document []byte, root fhir.Node) ([]byte, error) {
	at, err := find(root, o.from)
	if err != nil {
		return nil, err
	}
	value := at.Raw()
	if o.op == "move" {
		if o.from.same(o.path) {
			return document, nil
		}
		if document, err = remove(document, root, o.from); err != nil {
			return nil, err
		}
		if root, err = fhir.ParseNode(document); err != nil {
			return nil, unfit("leaves no document")
		}
	}
	return add(document, root, o.path, value)
}
