package inbound

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

const xhtml = "http://www.w3.org/1999/xhtml"

// elements are those that a narrative may have (R4 narrative, section 2.4.0),
// without the ones that load something: a and img.
const elements = " abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var "

// attributes are those that load nothing and run nothing; style is none of them.
const attributes = " abbr align axis cellpadding cellspacing char charoff class colspan dir frame headers id lang rowspan rules scope span summary title valign width "

// narrative looks at the text of a resource: it is shown to people as HTML, some
// of whom are staff with more rights than the patient. What is not known to be
// harmless is refused, not taken out.
func (w *walk) narrative(n fhir.Node) {
	div := n.Get("div")
	if !n.IsObject() || !n.Get("status").IsString() || !div.IsString() {
		w.refuse("The text of a resource needs a status and a div.")
		return
	}
	for c := range n.Children() {
		switch c.Name() {
		case "status", "div":
		case "id", "extension":
			w.value(c, place{name: c.Name()})
		default:
			w.refuse("The text of a resource holds a status and a div, and nothing else.")
		}
	}
	if !harmless(div.Text()) {
		w.refuse("The div of the text may hold plain formatting alone: no scripts, styles, links, images, comments or forms.")
	}
}

// harmless reads the div as XML. A browser that reads it as HTML must not see
// more than this does, so there is nothing that the two read differently: no
// comments, CDATA, declarations or namespaces.
func harmless(div string) bool {
	if strings.Contains(div, "<!") || strings.Contains(div, "<?") || strings.Contains(div, "\x00") {
		return false
	}
	d := xml.NewDecoder(strings.NewReader(div))
	d.Entity = xml.HTMLEntity
	depth, roots := 0, 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return depth == 0 && roots == 1
		}
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			if depth == 0 && t.Name.Local != "div" || !plain(t) {
				return false
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && strings.TrimSpace(string(t)) != "" {
				return false
			}
		default:
			return false
		}
	}
}

func plain(e xml.StartElement) bool {
	if e.Name.Space != xhtml || !listed(elements, e.Name.Local) {
		return false
	}
	for _, a := range e.Attr {
		switch {
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			if a.Value != xhtml {
				return false
			}
		case a.Name.Space != "" || !listed(attributes, a.Name.Local):
			return false
		}
	}
	return true
}

func listed(list, name string) bool { return strings.Contains(list, " "+name+" ") }
