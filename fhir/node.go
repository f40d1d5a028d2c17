package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDocument keeps offsets within int32 and memory within reason.
const maxDocument = 1 << 30

// Node is a place in a parsed JSON document: a value and the range of bytes it
// stands in. The zero Node is "absent": every method works on it and finds
// nothing, so a path can be walked without asking at each step.
type Node struct {
	doc *document
	i   int32
}

type document struct {
	raw   []byte
	nodes []node
}

// node is one value. Its first child, if any, is the next node in the slice;
// next is the index of the following sibling, 0 when there is none (0 is the
// root, which is nobody's sibling).
type node struct {
	kind               jsontext.Kind
	parent             bool  // has at least one child
	next               int32 // following sibling
	nameStart, nameEnd int32 // the member name with its quotes; 0,0 outside objects
	start, end         int32
}

// ParseNode reads one JSON value and keeps raw (the caller must not change it
// afterwards). Duplicate names, bad UTF-8 and anything after the value are
// errors: two readers could understand such a document differently, so nobody
// may rely on what one of them sees.
func ParseNode(raw []byte) (Node, error) {
	if len(raw) > maxDocument {
		return Node{}, fmt.Errorf("fhir: a document of %d bytes is over the limit", len(raw))
	}
	d := &document{raw: raw, nodes: make([]node, 0, 16+len(raw)/24)}
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	if err := d.value(dec, 0, 0); err != nil {
		return Node{}, scrub(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return Node{}, errors.New("fhir: data after the JSON value")
	}
	return Node{doc: d}, nil
}

// scrub keeps the position of a syntax error but not the text around it, which
// may be patient data.
func scrub(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("fhir: not valid JSON: %w", io.ErrUnexpectedEOF)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return fmt.Errorf("fhir: not valid JSON at byte %d", syntactic.ByteOffset)
	}
	return errors.New("fhir: not valid JSON")
}

func (d *document) value(dec *jsontext.Decoder, nameStart, nameEnd int32) error {
	self := len(d.nodes)
	kind := dec.PeekKind()
	d.nodes = append(d.nodes, node{kind: kind, nameStart: nameStart, nameEnd: nameEnd})
	if kind != '{' && kind != '[' {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		end := dec.InputOffset()
		d.nodes[self].start, d.nodes[self].end = int32(end)-int32(len(raw)), int32(end)
		return nil
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	d.nodes[self].start = int32(dec.InputOffset()) - 1
	previous := 0
	for k := dec.PeekKind(); k != '}' && k != ']'; k = dec.PeekKind() {
		var from, to int32
		if kind == '{' {
			name, err := dec.ReadValue()
			if err != nil {
				return err
			}
			to = int32(dec.InputOffset())
			from = to - int32(len(name))
		}
		child := len(d.nodes)
		if err := d.value(dec, from, to); err != nil {
			return err
		}
		if previous == 0 {
			d.nodes[self].parent = true
		} else {
			d.nodes[previous].next = int32(child)
		}
		previous = child
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	d.nodes[self].end = int32(dec.InputOffset())
	return nil
}

func (n Node) node() node { return n.doc.nodes[n.i] }

// Exists says whether there is anything here.
func (n Node) Exists() bool { return n.doc != nil }

// IsObject says whether this is a JSON object.
func (n Node) IsObject() bool { return n.doc != nil && n.node().kind == '{' }

// IsArray says whether this is a JSON array.
func (n Node) IsArray() bool { return n.doc != nil && n.node().kind == '[' }

// IsString says whether this is a JSON string.
func (n Node) IsString() bool { return n.doc != nil && n.node().kind == '"' }

// Span gives the byte range [start, end) of the value in the document.
func (n Node) Span() (start, end int) {
	if n.doc == nil {
		return 0, 0
	}
	return int(n.node().start), int(n.node().end)
}

// Member gives the byte range of a member of an object with its name; of any
// other value that of the value.
func (n Node) Member() (start, end int) {
	start, end = n.Span()
	if n.doc != nil && !n.IsItem() {
		start = int(n.node().nameStart)
	}
	return start, end
}

// IsNumber says whether this is a JSON number.
func (n Node) IsNumber() bool { return n.doc != nil && n.node().kind == '0' }

// Raw gives the bytes of the value as they came; read only.
func (n Node) Raw() []byte {
	if n.doc == nil {
		return nil
	}
	return n.doc.raw[n.node().start:n.node().end]
}

// Text gives a string value unescaped, and for a number, true and false its
// literal text. Everything else gives "".
func (n Node) Text() string {
	switch {
	case n.doc == nil:
		return ""
	case n.node().kind == '"':
		return unquote(n.Raw())
	case n.node().kind == '0', n.node().kind == 't', n.node().kind == 'f':
		return string(n.Raw())
	}
	return ""
}

// Name gives the unescaped member name under which the value stands, "" outside
// an object.
func (n Node) Name() string {
	if n.doc == nil || n.node().nameEnd == 0 {
		return ""
	}
	return unquote(n.doc.raw[n.node().nameStart:n.node().nameEnd])
}

func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	out, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil { // cannot happen: the decoder has accepted it
		return ""
	}
	return string(out)
}

// Named says whether the value stands under exactly this member name.
func (n Node) Named(name string) bool {
	return n.doc != nil && n.node().nameEnd != 0 && n.named(name)
}

// IsItem says whether the value has no name of its own: an item of an array, or
// the document itself.
func (n Node) IsItem() bool { return n.doc != nil && n.node().nameEnd == 0 }

// named compares the member name after unescaping, without allocating in the
// usual case.
func (n Node) named(name string) bool {
	quoted := n.doc.raw[n.node().nameStart:n.node().nameEnd]
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	return unquote(quoted) == name
}

// Children walks the members of an object or the items of an array, in order.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if n.doc == nil || !n.node().parent {
			return
		}
		for i := n.i + 1; i != 0; i = n.doc.nodes[i].next {
			if !yield(Node{n.doc, i}) {
				return
			}
		}
	}
}

// Get gives the member of an object with exactly this name, or the zero Node.
func (n Node) Get(name string) Node {
	if !n.IsObject() {
		return Node{}
	}
	for c := range n.Children() {
		if c.named(name) {
			return c
		}
	}
	return Node{}
}

// Items walks the items of an array; a value that is no array is its own only
// item, an absent one has none. FHIR paths do not tell the two apart.
func (n Node) Items() iter.Seq[Node] {
	if n.IsArray() {
		return n.Children()
	}
	return func(yield func(Node) bool) {
		if n.doc != nil {
			yield(n)
		}
	}
}

// At walks every value at a path of member names, going through arrays on the
// way: At("participant", "actor") visits each participant's actor.
func (n Node) At(path ...string) iter.Seq[Node] {
	return func(yield func(Node) bool) { n.at(path, yield) }
}

func (n Node) at(path []string, yield func(Node) bool) bool {
	for item := range n.Items() {
		if len(path) == 0 {
			if !yield(item) {
				return false
			}
			continue
		}
		if !item.Get(path[0]).at(path[1:], yield) {
			return false
		}
	}
	return true
}

// Descend visits this value and everything below it, parents first, in the
// order of the bytes.
func (n Node) Descend(visit func(Node)) {
	if n.doc == nil {
		return
	}
	// The nodes stand in the order of their bytes, so what is below this one
	// follows it up to its end.
	end := n.node().end
	for i := n.i; int(i) < len(n.doc.nodes) && n.doc.nodes[i].start < end; i++ {
		visit(Node{n.doc, i})
	}
}
