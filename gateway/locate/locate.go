// Package locate owns the URLs in a resource: where FHIR has ones that are
// followed, and what each leads to as seen from one source. It must not know who
// follows them, nor whether they may.
package locate

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// Place says what the URL of an attachment leads to, as seen from one source.
type Place uint8

const (
	// Closed is the zero value on purpose: a URL that tells of the upstream
	// and that nobody may follow. It leaves as a handle that opens nothing.
	Closed Place = iota
	// Elsewhere is any other host's: it leaves as it is and is never fetched.
	Elsewhere
	// Spoken is FHIR on the upstream's base: it leaves with our base, and whoever
	// follows it goes the whole path like any request.
	Spoken
	// Stored is a file: a Binary, another path below the base, or one below a
	// place configured for attachments. It leaves as a handle.
	Stored
)

// Target is a URL of an attachment, understood.
type Target struct {
	Place    Place
	URL      string // absolute, without fragment; "" for Elsewhere
	Relative string // below the upstream's base, "" when it is not
	Binary   string // the id, when it is a Binary
}

// Locator tells what URLs lead to. URLs are compared part by part, never as
// prefixes of strings (docs/pitfalls.md 32 and 34).
type Locator struct {
	base, public fhir.Base
	root         *url.URL    // the base with a slash: relative URLs are relative to it (R4 datatypes, Attachment)
	places       []fhir.Base // configured for attachments
	hosts        []string    // that must not leave
	types        map[string]bool
}

// New makes one for an upstream's base, the one that apps see, and the places
// outside of it where attachments lie.
func New(base, public fhir.Base, places []fhir.Base) (*Locator, error) {
	root, err := url.Parse(base.String() + "/")
	if err != nil {
		return nil, fmt.Errorf("locate: the upstream's base: %w", err)
	}
	l := &Locator{base: base, public: public, root: root, places: places, types: map[string]bool{}}
	for _, b := range append([]fhir.Base{base}, places...) {
		u, err := url.Parse(b.String())
		if err != nil {
			return nil, fmt.Errorf("locate: a place of attachments: %w", err)
		}
		l.hosts = append(l.hosts, u.Hostname())
	}
	for _, typ := range compartment.Types() {
		l.types[strings.ToLower(typ)] = true
	}
	return l, nil
}

// Locate understands the URL of an attachment.
func (l *Locator) Locate(text string) Target {
	switch {
	case text == "" || text[0] == '#':
		return Target{Place: Elsewhere}
	case len(text) > 5 && strings.EqualFold(text[:5], "data:"):
		return Target{Place: Elsewhere} // the file itself
	}
	u, err := l.root.Parse(text)
	if err != nil || strings.ContainsFunc(text, odd) || u.User != nil || u.Opaque != "" {
		return l.strange(text)
	}
	u.Fragment, u.RawFragment = "", ""
	at := Target{URL: u.String()}
	if _, ours := l.public.Relative(at.URL); ours {
		return Target{Place: Elsewhere} // it leads here already
	}
	if relative, below := l.base.Relative(at.URL); below {
		at.Relative, at.URL = relative, l.base.String()+"/"+relative // one way to write each
		if l.below(&at); at.Place == Stored && !upstream.Within(l.base, at.URL) {
			at.Place, at.Binary = Closed, "" // the connector would not ask for it
		}
		return at
	}
	for _, p := range l.places {
		if relative, below := p.Relative(at.URL); below {
			if path, _, _ := strings.Cut(relative, "?"); plainPath(path) != nil && upstream.Within(p, p.String()+"/"+relative) {
				at.Place, at.URL = Stored, p.String()+"/"+relative
			}
			return at
		}
	}
	return l.strange(at.URL)
}

// odd are bytes that readers of URLs disagree on.
func odd(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' }

// below tells files from what speaks FHIR under the upstream's base. Names of
// types count in any case: there are servers that do not tell them apart, and a
// resource given raw would be one that nobody judged.
func (l *Locator) below(at *Target) {
	path, query, asks := strings.Cut(at.Relative, "?")
	segments := plainPath(path)
	switch to := l.base.Resolve(at.URL); {
	case path == "":
		at.Place = Spoken
	case segments == nil:
	case to.Where == fhir.Local && to.Type == "Binary" && !asks && query == "":
		at.Place, at.Binary = Stored, to.ID
	case l.types[strings.ToLower(segments[0])], strings.ContainsRune("$_.", rune(segments[0][0])), strings.EqualFold(segments[0], "metadata"):
		at.Place = Spoken
	default:
		at.Place = Stored
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
func (l *Locator) strange(text string) Target {
	if slices.ContainsFunc(l.hosts, func(host string) bool { return mentions(text, host) }) {
		return Target{Place: Closed, URL: text}
	}
	return Target{Place: Elsewhere}
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
