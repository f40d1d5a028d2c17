package gateway

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// place says what the URL of an attachment leads to, as seen from one source.
type place uint8

const (
	// closedPlace is the zero value on purpose: a URL that tells of the upstream
	// and that nobody may follow. It leaves as a handle that opens nothing.
	closedPlace place = iota
	// elsewhere is any other host's: it leaves as it is and is never fetched.
	elsewhere
	// spoken is FHIR on the upstream's base: it leaves with our base, and whoever
	// follows it goes the whole path like any request.
	spoken
	// stored is a file: a Binary, another path below the base, or one below a
	// place configured for attachments. It leaves as a handle.
	stored
)

// target is a URL of an attachment, understood.
type target struct {
	place    place
	url      string // absolute, without fragment; "" for elsewhere
	relative string // below the upstream's base, "" when it is not
	binary   string // the id, when it is a Binary
}

// locator tells what URLs lead to. URLs are compared part by part, never as
// prefixes of strings (docs/pitfalls.md 32 and 34).
type locator struct {
	base, public fhir.Base
	root         *url.URL    // the base with a slash: relative URLs are relative to it (R4 datatypes, Attachment)
	places       []fhir.Base // configured for attachments
	hosts        []string    // that must not leave
	types        map[string]bool
}

func newLocator(base, public fhir.Base, places []fhir.Base) (*locator, error) {
	root, err := url.Parse(base.String() + "/")
	if err != nil {
		return nil, fmt.Errorf("gateway: the upstream's base: %w", err)
	}
	l := &locator{base: base, public: public, root: root, places: places, types: map[string]bool{}}
	for _, b := range append([]fhir.Base{base}, places...) {
		u, err := url.Parse(b.String())
		if err != nil {
			return nil, fmt.Errorf("gateway: a place of attachments: %w", err)
		}
		l.hosts = append(l.hosts, u.Hostname())
	}
	for _, typ := range compartment.Types() {
		l.types[strings.ToLower(typ)] = true
	}
	return l, nil
}

// locate understands the URL of an attachment.
func (l *locator) locate(text string) target {
	switch {
	case text == "" || text[0] == '#':
		return target{place: elsewhere}
	case len(text) > 5 && strings.EqualFold(text[:5], "data:"):
		return target{place: elsewhere} // the file itself
	}
	u, err := l.root.Parse(text)
	if err != nil || strings.ContainsFunc(text, odd) || u.User != nil || u.Opaque != "" {
		return l.strange(text)
	}
	u.Fragment, u.RawFragment = "", ""
	at := target{url: u.String()}
	if _, ours := l.public.Relative(at.url); ours {
		return target{place: elsewhere} // it leads here already
	}
	if relative, below := l.base.Relative(at.url); below {
		at.relative, at.url = relative, l.base.String()+"/"+relative // one way to write each
		if l.below(&at); at.place == stored && !upstream.Within(l.base, at.url) {
			at.place, at.binary = closedPlace, "" // the connector would not ask for it
		}
		return at
	}
	for _, p := range l.places {
		if relative, below := p.Relative(at.url); below {
			if path, _, _ := strings.Cut(relative, "?"); plainPath(path) != nil && upstream.Within(p, p.String()+"/"+relative) {
				at.place, at.url = stored, p.String()+"/"+relative
			}
			return at
		}
	}
	return l.strange(at.url)
}

// odd are bytes that readers of URLs disagree on.
func odd(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' }

// below tells files from what speaks FHIR under the upstream's base. Names of
// types count in any case: there are servers that do not tell them apart, and a
// resource given raw would be one that nobody judged.
func (l *locator) below(at *target) {
	path, query, asks := strings.Cut(at.relative, "?")
	segments := plainPath(path)
	switch to := l.base.Resolve(at.url); {
	case path == "":
		at.place = spoken
	case segments == nil:
	case to.Where == fhir.Local && to.Type == "Binary" && !asks && query == "":
		at.place, at.binary = stored, to.ID
	case l.types[strings.ToLower(segments[0])], strings.ContainsRune("$_.", rune(segments[0][0])), strings.EqualFold(segments[0], "metadata"):
		at.place = spoken
	default:
		at.place = stored
	}
}

// plainPath gives the decoded segments of a path that every server reads alike,
// nil for any other.
func plainPath(path string) []string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil || decoded == "" || decoded == "." || decoded == ".." || strings.ContainsAny(decoded, "/;%") || strings.ContainsFunc(decoded, odd) {
			return nil
		}
		segments[i] = decoded
	}
	return segments
}

// strange is for URLs that are none of ours: another host's, unless the text
// speaks of the upstream's host all the same.
func (l *locator) strange(text string) target {
	if slices.ContainsFunc(l.hosts, func(host string) bool { return mentions(text, host) }) {
		return target{place: closedPlace, url: text}
	}
	return target{place: elsewhere}
}

// mentions finds a host name standing by itself in a text, escaped or not.
func mentions(text, host string) bool {
	for range 3 { // an URL inside the query of one inside the query of another
		lower := strings.ToLower(text)
		for at := 0; ; {
			i := strings.Index(lower[at:], host)
			if i < 0 {
				break
			}
			start, end := at+i, at+i+len(host)
			after := strings.TrimPrefix(lower[end:], ".")
			if (start == 0 || !hostByte(lower[start-1])) && (after == "" || !hostByte(after[0])) && !strings.HasPrefix(lower[end:], "-") {
				return true
			}
			at = start + 1
		}
		decoded, err := url.PathUnescape(text)
		if err != nil || decoded == text {
			return false
		}
		text = decoded
	}
	return false
}

func hostByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '.'
}
