package fhir

import (
	"fmt"
	"net/url"
	"strings"
)

// Where says what a reference points to, as seen from one upstream.
type Where uint8

const (
	// Unusable is a reference that proves nothing: empty, malformed, urn:,
	// conditional (with a query) or ambiguous.
	Unusable Where = iota
	// Local is a resource of this upstream: relative, or absolute on its base.
	Local
	// Contained is a resource inside the same resource ("#id").
	Contained
	// Foreign is an absolute URL on any other server.
	Foreign
)

// Reference is a parsed Reference.reference.
type Reference struct {
	Where   Where
	Type    string // Local: the resource type
	ID      string // Local: the logical id; Contained: the fragment
	Version string // Local: the version when one is named
}

// Is says whether the reference names exactly this resource of this upstream.
// A named version does not matter: versions belong to whom the resource does.
func (r Reference) Is(typ, id string) bool {
	return r.Where == Local && r.Type == typ && r.ID == id && id != ""
}

// Base is the FHIR base of an upstream, compared part by part and never as a
// prefix of a string (docs/pitfalls.md 22 and 32).
type Base struct {
	scheme, host, path string
}

// ParseBase reads an absolute http or https URL without query, fragment or user.
func ParseBase(s string) (Base, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Base{}, fmt.Errorf("fhir: base URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return Base{}, fmt.Errorf("fhir: base URL %q is not http or https", s)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return Base{}, fmt.Errorf("fhir: base URL %q must be scheme, host and path only", s)
	}
	return Base{strings.ToLower(u.Scheme), canonicalHost(u), strings.TrimRight(u.EscapedPath(), "/")}, nil
}

// String gives the base without a trailing slash.
func (b Base) String() string { return b.scheme + "://" + b.host + b.path }

func canonicalHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "http" {
		return strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":443")
}

// Relative gives what stands after this base's "/" in an absolute URL, and
// whether the URL is on this base at all.
func (b Base) Relative(absolute string) (string, bool) {
	u, err := url.Parse(absolute)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", false
	}
	if strings.ToLower(u.Scheme) != b.scheme || canonicalHost(u) != b.host {
		return "", false
	}
	rest, found := strings.CutPrefix(u.EscapedPath(), b.path+"/")
	if !found {
		return "", false
	}
	if u.RawQuery != "" || u.ForceQuery {
		rest += "?" + u.RawQuery
	}
	if u.Fragment != "" {
		rest += "#" + u.EscapedFragment()
	}
	return rest, true
}

// Resolve parses a Reference.reference as seen from this upstream. Only
// Type/id and Type/id/_history/version are Local; everything else that is
// relative is Unusable.
func (b Base) Resolve(reference string) Reference {
	if fragment, ok := strings.CutPrefix(reference, "#"); ok {
		return Reference{Where: Contained, ID: fragment}
	}
	rest := reference
	if isAbsolute(reference) {
		relative, ok := b.Relative(reference)
		if !ok {
			return Reference{Where: Foreign}
		}
		rest = relative
	}
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) == 2 && validType(parts[0]) && ValidID(parts[1]):
		return Reference{Where: Local, Type: parts[0], ID: parts[1]}
	case len(parts) == 4 && parts[2] == "_history" && validType(parts[0]) && ValidID(parts[1]) && ValidID(parts[3]):
		return Reference{Where: Local, Type: parts[0], ID: parts[1], Version: parts[3]}
	}
	return Reference{}
}

// EachReference visits every Reference.reference below a node that leads to a
// resource of this upstream; what leads elsewhere or nowhere is passed over.
func (b Base) EachReference(below Node, visit func(Reference)) {
	below.Descend(func(n Node) {
		if !n.IsString() || !n.Named("reference") {
			return
		}
		if to := b.Resolve(n.Text()); to.Where == Local {
			visit(to)
		}
	})
}

// IsReference recognises an object that has nothing but what a Reference has
// (R4 references, section 2.3.0).
func IsReference(n Node) bool {
	for member := range n.Children() {
		switch strings.TrimPrefix(member.Name(), "_") {
		case "id", "extension", "reference", "type", "identifier", "display":
		default:
			return false
		}
	}
	return n.IsObject()
}

// StatedType gives Reference.type: a name, or a URI that ends in one (R4
// references, section 2.3.0).
func StatedType(reference Node) string {
	typ := reference.Get("type").Text()
	return typ[strings.LastIndexByte(typ, '/')+1:]
}

// URIWords cuts a URI, however it is escaped, at everything that parts names
// in one.
func URIWords(uri string) []string {
	if plain, err := url.PathUnescape(uri); err == nil {
		uri = plain
	}
	return strings.FieldsFunc(uri, func(c rune) bool { return strings.ContainsRune(`/\?#;&=|:%`, c) })
}

// isAbsolute follows RFC 3986: a scheme is a letter, then letters, digits,
// "+", "-", "." up to a colon. urn:uuid: counts and ends as Foreign.
func isAbsolute(s string) bool {
	for i, c := range s {
		switch {
		case c == ':':
			return i > 0
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return false
}
