// Package inbound reads a resource that comes from an app and is to be stored:
// what it may look like, what it points to, who it says wrote it, and which of
// its elements belong to the server. It is stricter than the reader of what
// comes from a record: what two servers could understand differently, or what
// could name somebody without anybody being able to tell, is refused. It does
// no I/O and does not decide whose a resource is or what may be pointed to:
// package guard does, from what it says.
package inbound

import (
	"regexp"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
)

// Error says why a resource is not taken, in a sentence that names elements and
// holds nothing of their content.
type Error struct {
	// Malformed: the body is no FHIR resource in well-formed JSON; otherwise it
	// is one that says what may not be said.
	Malformed bool
	Reason    string
}

// Error implements error.
func (e *Error) Error() string { return e.Reason }

func refuse(reason string) error { return &Error{Reason: reason} }

// The sentences of which several causes share one, so that nobody learns from
// the difference what the record's own address is or what is in it.
const (
	whereReferences = "Each reference must be written as Type/id, as a URL on this FHIR base, or as #id of a resource contained in this one."
	whereURLs       = "An address in the resource must be on this FHIR base; what an attachment holds goes into its data."
	logical         = "A reference by identifier or display may name nobody who could be a patient."
	links           = "An element that is no reference holds the address of a record."
)

// Reader reads for one source.
type Reader struct {
	Public   fhir.Base // under which apps know the source
	Upstream fhir.Base // the record's own
	// Known is what the resource holds already, see KnownOf. It may stay.
	Known map[Place]string
}

// Place is a text under a name, through arrays.
type Place struct{ Name, Text string }

// Document is a resource as it came, with its addresses in the record's form.
type Document struct {
	// References are what it points to besides what it pointed to before.
	References []fhir.Reference

	raw []byte
	typ string
	id  string
}

// Type gives the resourceType.
func (d *Document) Type() string { return d.typ }

// ID gives the id that the app wrote, "" when it wrote none.
func (d *Document) ID() string { return d.id }

// Read checks the form of a resource. Errors are *Error.
func (rd Reader) Read(raw []byte) (*Document, error) {
	r, err := fhir.ParseResource(raw)
	if err != nil {
		return nil, &Error{Malformed: true, Reason: "The body is not one FHIR resource in well-formed JSON with every name once."}
	}
	w := &walk{rd: rd, contained: map[string]string{}}
	for c := range r.Root().Get("contained").Items() {
		if w.contained[c.Get("id").Text()] != "" || !c.IsObject() || !c.Get("id").IsString() || !c.Get("resourceType").IsString() {
			return nil, refuse("Each contained resource needs a resourceType and an id of its own.")
		}
		w.contained[c.Get("id").Text()] = c.Get("resourceType").Text()
	}
	w.value(r.Root(), place{root: true})
	if w.err != nil {
		return nil, w.err
	}
	return &Document{References: w.references, raw: r.Splice(w.edits), typ: r.Type(), id: r.ID()}, nil
}

// walk goes through a resource; the first thing refused ends it.
type walk struct {
	rd         Reader
	contained  map[string]string // id -> type
	edits      []fhir.Edit
	references []fhir.Reference
	err        error
}

// extensionURL is the name by which the url of an extension is known here: it
// names a definition and is not followed.
const extensionURL = "extension.url"

// place is where a value stands: under which name, through arrays, and whether
// as the resource itself or as one directly contained in it.
type place struct {
	name      string
	root      bool
	contained bool
}

func (w *walk) refuse(reason string) {
	if w.err == nil {
		w.err = refuse(reason)
	}
}

func (w *walk) value(n fhir.Node, at place) {
	switch {
	case w.err != nil:
	case n.IsArray():
		for item := range n.Children() {
			w.value(item, at)
		}
	case n.IsObject():
		w.object(n, at)
	case n.IsString():
		w.text(n, at.name)
	}
}

// special are names that decide here; another spelling of one could be taken for
// it by a server that does not look at the case.
var special = []string{"resourceType", "id", "meta", "contained", "extension", "modifierExtension", "reference", "identifier", "type", "url", "text", "div", "implicitRules"}

// nameForm is how FHIR's element names look (R4 json, section 2.6.2).
var nameForm = regexp.MustCompile(`^_?[a-z][A-Za-z0-9]*$`)

func (w *walk) object(n fhir.Node, at place) {
	folded := map[string]bool{}
	for c := range n.Children() {
		name := c.Name()
		lower := strings.ToLower(name)
		spoofed := func(s string) bool { return name != s && strings.EqualFold(name, s) }
		if !nameForm.MatchString(name) || folded[lower] || slices.ContainsFunc(special, spoofed) {
			w.refuse("An element has a name that FHIR does not have, or one that differs from another by its case alone.")
			return
		}
		folded[lower] = true
	}
	switch {
	case n.Get("implicitRules").Exists():
		w.refuse("A resource with implicitRules is not taken: nobody here could tell what it means.")
	case n.Get("resourceType").Exists() && !at.root && !at.contained:
		w.refuse("A resource may hold others in contained alone.")
	case (at.root || at.contained) && n.Get("reference").Exists():
		w.refuse(whereReferences) // no resource has such an element, and who looks for references would find it
	case at.contained && n.Get("contained").Exists():
		w.refuse("A contained resource may contain none itself.")
	case !at.root && !at.contained:
		w.reference(n)
	}
	for c := range n.Children() {
		below := place{name: c.Name()}
		switch {
		case (at.root || at.contained) && c.Named("text"):
			w.narrative(c)
			continue
		case at.root && c.Named("contained"):
			below.contained = true
		case c.Named("url") && (at.name == "extension" || at.name == "modifierExtension"):
			below.name = extensionURL
		}
		w.value(c, below)
	}
}

// reference looks at an object that is, or could be taken for, a Reference (R4
// references, section 2.3.0).
func (w *walk) reference(n fhir.Node) {
	literal, stated := n.Get("reference"), n.Get("type").Text()
	stated = stated[strings.LastIndexByte(stated, '/')+1:]
	switch {
	case literal.Exists() && !literal.IsString() && !literal.IsObject():
		w.refuse(whereReferences)
	case literal.IsString():
		typ := w.literal(literal)
		switch {
		case n.Get("identifier").Exists() && !isDirectory(typ):
			w.refuse(logical)
		case n.Get("type").Exists() && stated != typ:
			w.refuse("The type of a reference is not that of what it names.")
		}
	case !onlyReferenceMembers(n):
	case n.Get("identifier").IsObject() && !isDirectory(stated), isPersonal(stated):
		w.refuse(logical)
	}
}

// literal notes what a reference names and gives its type.
func (w *walk) literal(n fhir.Node) string {
	text := n.Text()
	if before, known := w.rd.Known[Place{"reference", text}]; known {
		return w.rd.Upstream.Resolve(before).Type // rewritten with the other texts
	}
	to := w.rd.Public.Resolve(text)
	switch to.Where {
	case fhir.Local:
		w.references = append(w.references, to)
		w.replace(n, relative(to))
		return to.Type
	case fhir.Contained:
		if typ := w.contained[to.ID]; typ != "" {
			return typ
		}
	case fhir.Foreign, fhir.Unusable:
	}
	w.refuse(whereReferences)
	return ""
}

// text looks at a string for what leads somewhere.
func (w *walk) text(n fhir.Node, name string) {
	text := n.Text()
	if before, known := w.rd.Known[Place{name, text}]; known {
		w.replace(n, before)
		return
	}
	switch name {
	case "reference", "data", "resourceType":
		// references were looked at with their object; data is base64
	case extensionURL:
		if strings.Contains(text, "/") && (!strings.Contains(text, ":") || namesRecord(text)) {
			w.refuse("The url of an extension must be the address of its definition.")
		}
	case "url", "valueUri", "valueUrl", "valueCanonical":
		w.address(n, name == "url", !n.IsItem())
	case "uri", "source", "address":
		w.address(n, false, false)
	default:
		if one := strings.TrimSpace(text); strings.Contains(one, "://") && !strings.ContainsAny(one, " \t\r\n") && namesRecord(one) {
			w.refuse(links)
		}
	}
}

// address looks at a URL that is followed: what an attachment's leads to will be
// fetched in the patient's name, so it may lead into this FHIR base alone. Only
// where it gets our base again when it leaves does it get the record's.
func (w *walk) address(n fhir.Node, file, returns bool) {
	text := n.Text()
	to := w.rd.Public.Resolve(text)
	below, ours := w.rd.Public.Relative(text)
	switch {
	case ours && !returns:
		w.refuse(links)
	case to.Where == fhir.Local:
		w.references = append(w.references, to)
		if ours {
			w.replace(n, w.rd.Upstream.String()+"/"+relative(to))
		}
	case file:
		w.refuse(whereURLs)
	case ours && below != "", namesRecord(text):
		w.refuse(links)
	}
}

func (w *walk) replace(n fhir.Node, with string) {
	if n.Text() == with {
		return
	}
	start, end := n.Span()
	w.edits = append(w.edits, fhir.Edit{Start: start, End: end, With: quote(with)})
}

func relative(to fhir.Reference) string {
	if to.Version != "" {
		return to.Type + "/" + to.ID + "/_history/" + to.Version
	}
	return to.Type + "/" + to.ID
}

func isDirectory(typ string) bool { return compartment.Of(typ).Class == compartment.Directory }

// isPersonal: a type that tells of people, or could.
func isPersonal(typ string) bool {
	class := compartment.Of(typ).Class
	return class != compartment.Closed && class != compartment.Directory
}
