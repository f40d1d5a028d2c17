package inbound

import (
	"iter"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/fhir"
)

// namesRecord says whether a text could be the address of something in
// somebody's record, on whatever server: it has Type/id in it.
func namesRecord(text string) bool {
	path := text
	if u, err := url.Parse(text); err == nil {
		path = u.Opaque + u.Path + "/" + u.Fragment
	} else if decoded, err := url.PathUnescape(text); err == nil {
		path = decoded
	}
	segments := strings.FieldsFunc(path, func(c rune) bool { return c == '/' || c == '\\' })
	for i, s := range segments {
		if i+1 < len(segments) && isPersonal(s) && fhir.ValidID(segments[i+1]) {
			return true
		}
	}
	return false
}

// onlyReferenceMembers says whether an object without a reference has the
// members of a Reference and no others.
func onlyReferenceMembers(n fhir.Node) bool {
	for c := range n.Children() {
		switch strings.TrimPrefix(c.Name(), "_") {
		case "id", "extension", "type", "identifier", "display", "reference":
		default:
			return false
		}
	}
	return true
}

// quote gives the JSON string for a text that came from one.
func quote(s string) []byte {
	out, err := jsontext.AppendQuote(nil, s)
	if err != nil { // cannot happen: references and bases are ASCII or came from valid JSON
		return []byte(`""`)
	}
	return out
}

// KnownOf gives what a resource holds, from the text that an app sees to the one
// that the record has. view is the resource as the app sees it: the same as
// record but for the text of some strings. When it is not, nothing is known.
func KnownOf(view, record fhir.Node) map[Place]string {
	out := map[Place]string{}
	if !sideBySide(view, record, "", out) {
		return nil
	}
	return out
}

func sideBySide(view, record fhir.Node, name string, out map[Place]string) bool {
	if view.IsString() != record.IsString() || view.IsObject() != record.IsObject() || view.IsArray() != record.IsArray() {
		return false
	}
	if view.IsString() {
		out[Place{name, view.Text()}] = record.Text()
	}
	next, stop := iter.Pull(record.Children())
	defer stop()
	for c := range view.Children() {
		r, more := next()
		if !more || c.Name() != r.Name() {
			return false
		}
		below := name
		switch {
		case view.IsArray():
		case c.Named("url") && (name == "extension" || name == "modifierExtension"):
			below = extensionURL
		default:
			below = c.Name()
		}
		if !sideBySide(c, r, below, out) {
			return false
		}
	}
	_, more := next()
	return !more
}
