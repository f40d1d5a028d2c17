package search

import (
	"errors"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/portico-fhir/portico/fhir"
)

var errBlank = errors.New("has nothing to compare")

func stringTest(modifier, v string) (test, error) {
	want := unescape(v)
	var same func(string) bool
	switch modifier {
	case "":
		want = foldText(want)
		same = func(s string) bool { return strings.HasPrefix(foldText(s), want) }
	case "contains":
		want = foldText(want)
		same = func(s string) bool { return strings.Contains(foldText(s), want) }
	case "exact":
		same = func(s string) bool { return s == want }
	default:
		return nil, errModifier
	}
	if want == "" { // combining marks or blanks only: everything would match
		return nil, errBlank
	}
	return func(v value) (bool, error) {
		for _, n := range stringParts(v) {
			for item := range n.Items() {
				if item.IsString() && same(item.Text()) {
					return true, nil
				}
			}
		}
		return false, nil
	}, nil
}

// stringParts gives what a string parameter may find of an element: itself, or
// the parts of a name or address (R4 search, 3.1.1.4.9).
func stringParts(v value) []fhir.Node {
	var names []string
	switch v.typ.name {
	case "HumanName":
		names = []string{"text", "family", "given", "prefix", "suffix"}
	case "Address":
		names = []string{"text", "line", "city", "district", "state", "postalCode", "country"}
	default:
		return []fhir.Node{v.node}
	}
	out := make([]fhir.Node, len(names))
	for i, name := range names {
		out[i] = v.node.Get(name)
	}
	return out
}

// foldText drops what a search by string does not tell apart: case, accents and
// the amount of white space.
func foldText(s string) string {
	if isFolded(s) {
		return s
	}
	var out strings.Builder
	for _, r := range norm.NFKD.String(s) {
		if !unicode.Is(unicode.Mn, r) {
			out.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(cases.Fold().String(out.String())), " ")
}

// isFolded saves most texts the work.
func isFolded(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x80 || c >= 'A' && c <= 'Z' || c < ' ' || c == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' ') {
			return false
		}
	}
	return true
}
