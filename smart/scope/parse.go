package scope

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrMalformed says that a text is no scope of SMART App Launch 2.2.
var ErrMalformed = errors.New("scope: malformed")

// Words splits a scope parameter at its spaces and refuses what RFC 6749 §3.3
// does not allow in it: anything but %x20-21 / %x23-5B / %x5D-7E. A word that
// stands twice comes once.
func Words(s string) ([]string, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return nil, fmt.Errorf("%w: byte %d is not allowed in a scope (RFC 6749 §3.3)", ErrMalformed, i)
		}
	}
	var out []string
	for w := range strings.SplitSeq(s, " ") {
		if w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out, nil
}

// Parse reads scopes separated by spaces. Every one must be well formed and
// known; whoever wants to leave out those that are not, reads the Words one by
// one. The empty text is the empty set.
func Parse(s string) (Set, error) {
	words, err := Words(s)
	if err != nil {
		return Set{}, err
	}
	var set Set
	for _, w := range words {
		if isOther(w) {
			set.Others = append(set.Others, w)
			continue
		}
		r, err := ParseResource(w)
		if err != nil {
			return Set{}, err
		}
		set.Resources = append(set.Resources, r)
	}
	return set, nil
}

// isOther tells whether w is an identity or context scope.
func isOther(w string) bool {
	switch w {
	case OpenID, FHIRUser, Profile, Launch, LaunchPatient, LaunchEncounter, OnlineAccess, OfflineAccess:
		return true
	}
	return false
}

// typeForm is the form of a resource type; which there are, callers know.
var typeForm = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)

// paramForm is the form of a search parameter with an optional modifier.
var paramForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z][A-Za-z-]*)?$`)

// ParseResource reads one resource scope:
//
//	( patient | user | system ) / ( Type | * ) . ( read | write | * | [c][r][u][d][s] [ ? name=value & … ] )
func ParseResource(w string) (Resource, error) {
	if _, err := Words(w); err != nil || strings.Contains(w, " ") {
		return Resource{}, malformed(w, "characters that no scope has")
	}
	level, rest, ok := strings.Cut(w, "/")
	if !ok {
		return Resource{}, malformed(w, "not a scope of SMART App Launch 2.2")
	}
	switch Level(level) {
	case Patient, User, System:
	default:
		return Resource{}, malformed(w, "the level is none of patient, user, system")
	}
	head, query, granular := strings.Cut(rest, "?")
	typ, access, ok := strings.Cut(head, ".")
	if !ok {
		return Resource{}, malformed(w, "no .access part")
	}
	if typ != AnyType && !typeForm.MatchString(typ) {
		return Resource{}, malformed(w, "not a resource type")
	}
	r := Resource{Level: Level(level), Type: typ, text: w}
	if r.Access = v1Access(access); r.Access != 0 {
		if granular {
			return Resource{}, malformed(w, "v1 syntax has no parameters")
		}
		return r, nil
	}
	if r.Access = v2Access(access); r.Access == 0 {
		return Resource{}, malformed(w, "the access is neither read, write, * nor letters of cruds in that order")
	}
	if granular {
		filter, reason := parseFilter(query)
		if reason != "" {
			return Resource{}, malformed(w, reason)
		}
		r.Filter = filter
	}
	return r, nil
}

// malformed names the scope: it is the app's text and no secret.
func malformed(w, reason string) error {
	return fmt.Errorf("%w: %q: %s", ErrMalformed, w, reason)
}

func v1Access(word string) Access {
	switch word {
	case "read":
		return ReadSearch
	case "write":
		return Write
	case "*":
		return All
	}
	return 0
}

func v1Word(a Access) string {
	switch a {
	case ReadSearch:
		return "read"
	case Write:
		return "write"
	case All:
		return "*"
	}
	return ""
}

// isV1 tells in which syntax a well-formed scope was written.
func isV1(text string) bool {
	_, access, _ := strings.Cut(text, ".")
	return v1Access(access) != 0
}

// v2Access reads the letters, each at most once and in order; 0 when it cannot.
func v2Access(word string) Access {
	var a Access
	last := -1
	for i := range len(word) {
		at := strings.IndexByte(letters, word[i])
		if at <= last {
			return 0
		}
		last = at
		a |= 1 << at
	}
	return a
}

// parseFilter reads the parameters behind the question mark; reason says why it
// cannot.
func parseFilter(query string) (filter []Param, reason string) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || value == "" {
			return nil, "a parameter is not name=value"
		}
		name, err := url.QueryUnescape(name)
		if err != nil || !paramForm.MatchString(name) {
			return nil, "a parameter's name is malformed"
		}
		value, err = url.QueryUnescape(value)
		if err != nil || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, "a parameter's value is malformed"
		}
		if slices.Contains(alternatives(value), "") {
			return nil, "a parameter has an empty alternative"
		}
		filter = append(filter, Param{Name: name, Value: value})
	}
	return filter, ""
}

// escape writes what a scope cannot hold, and what would end a parameter, as
// %XX; the rest stays readable, as examples of the specification write it.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c > '~' || strings.IndexByte(`"\%&+=;#?`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
